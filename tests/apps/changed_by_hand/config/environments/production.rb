require "active_support/core_ext/integer/time"

Rails.application.configure do
  # Einstellungen für die Produktion. Gilt vor config/application.rb.
  config.enable_reloading = false
  config.eager_load = true
  config.consider_all_requests_local = false

  config.action_controller.perform_caching = true
  config.public_file_server.headers = { "cache-control" => "public, max-age=#{1.year.to_i}" }

  # Uploads live in the bucket of the studio.
  config.active_storage.service = ENV.fetch("STORAGE", "amazon").to_sym

  config.assume_ssl = ENV["DISABLE_SSL"].blank?
  config.force_ssl = true unless ENV.key?("DISABLE_SSL")

  config.log_tags = [ :request_id ]
  config.logger   = ActiveSupport::TaggedLogging.logger(STDOUT)
  config.log_level = ENV.fetch("RAILS_LOG_LEVEL", "info")
  config.silence_healthcheck_path = "/up"

  config.cache_store = :redis_cache_store, {
    url: ENV.fetch("REDIS_URL", "redis://localhost:6379/1"),
    expires_in: 12.hours
  }

  config.active_job.queue_adapter = :solid_queue
  config.solid_queue.connects_to = { database: { writing: :jobs } }

  config.i18n.fallbacks = true
  config.active_record.dump_schema_after_migration = false
end
