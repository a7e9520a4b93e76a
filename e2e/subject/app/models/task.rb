class Task < QueueRecord
end
