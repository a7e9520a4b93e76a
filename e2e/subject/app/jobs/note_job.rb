# Run by Solid Queue in Puma; shows the note to everyone who has the page open, over Solid Cable.
class NoteJob < ApplicationJob
  def perform(note)
    note.update!(words: note.body.split.size)
    Turbo::StreamsChannel.broadcast_prepend_to "notes", target: "notes", partial: "notes/note", locals: { note: note }
  end
end
