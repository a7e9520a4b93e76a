# A row of the queue's database: Solid Queue keeps jobs that are done.
class EntryJob < ApplicationJob
  def perform(body)
  end
end
