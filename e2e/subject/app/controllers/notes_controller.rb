# The page that a person uses.
class NotesController < ApplicationController
  def index
    @notes = Note.order(id: :desc)
    @visits = Rails.cache.increment("visits")
  end

  def create
    note = Note.create!(params.expect(note: [ :body, :picture ]))
    NoteJob.perform_later(note)
    redirect_to root_path
  end
end
