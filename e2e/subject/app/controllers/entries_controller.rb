# What the end-to-end tests write and count.
class EntriesController < ActionController::Base
  skip_forgery_protection

  # Every body, per database, in the order of writing.
  def index
    kept = SolidQueue::Job.where(class_name: "EntryJob").order(:id).pluck(:arguments)
    render json: { primary: Entry.order(:id).pluck(:body), queue: kept.map { |job| job["arguments"].first } }
  end

  # Writes params[:body] to both databases, holding the transaction on primary open for
  # params[:hold] seconds before it is committed.
  def create
    Entry.transaction do
      Entry.create!(body: params.require(:body))
      sleep params[:hold].to_f
    end
    EntryJob.perform_later(params[:body])
    head :created
  end
end
