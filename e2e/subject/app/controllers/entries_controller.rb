# What the end-to-end tests write and count.
class EntriesController < ActionController::Base
  skip_forgery_protection

  # Every body, per database, in the order of writing.
  def index
    render json: { primary: Entry.order(:id).pluck(:body), queue: Task.order(:id).pluck(:body) }
  end

  # Writes params[:body] to both databases, holding the transaction on primary open for
  # params[:hold] seconds before it is committed.
  def create
    Entry.transaction do
      Entry.create!(body: params.require(:body))
      sleep params[:hold].to_f
    end
    Task.create!(body: params[:body])
    head :created
  end
end
