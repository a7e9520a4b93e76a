class NotesController < ApplicationController
  def index
    @notes = Note.order(:created_at)
  end

  def create
    Note.create!(params.expect(note: [:body]))
    redirect_to root_path
  end
end
