require "active_support/core_ext/integer/time"

Rails.application.configure do
  # Settings specified here will take precedence over those in config/application.rb.

  # Code is not reloaded between requests.
  config.enable_reloading = false

  # Load everything at boot.
  config.eager_load = true

  config.consider_all_requests_local = false

  # Turn on fragment caching in view templates.
  config.action_controller.perform_caching = true

  # Assets are digest stamped, so they may be kept for long.
  config.public_file_server.headers = { "cache-control" => "public, max-age=#{1.year.to_i}" }

  # config.asset_host = "http://assets.example.com"

  # Store uploaded files on the local file system (see config/storage.yml for options).
  config.active_storage.service = :local

  # A proxy that terminates SSL stands before the app.
  # config.assume_ssl = true

  # Force all access to the app over SSL, and use secure cookies.
  # config.force_ssl = true

  # config.ssl_options = { redirect: { exclude: ->(request) { request.path == "/up" } } }

  # Log to STDOUT with the current request id.
  config.log_tags = [ :request_id ]
  config.logger   = ActiveSupport::TaggedLogging.logger(STDOUT)
  config.log_level = ENV.fetch("RAILS_LOG_LEVEL", "info")

  # Prevent health checks from clogging up the logs.
  config.silence_healthcheck_path = "/up"

  # Don't log any deprecations.
  config.active_support.report_deprecations = false

  # A durable cache instead of the in-process one.
  config.cache_store = :solid_cache_store

  # A durable queue instead of the in-process one.
  config.active_job.queue_adapter = :solid_queue
  config.solid_queue.connects_to = { database: { writing: :queue } }

  # config.action_mailer.raise_delivery_errors = false
  config.action_mailer.default_url_options = { host: "example.com" }

  config.i18n.fallbacks = true

  # Do not dump schema after migrations.
  config.active_record.dump_schema_after_migration = false

  # Only use :id for inspections in production.
  config.active_record.attributes_for_inspect = [ :id ]

  # config.hosts = [
  #   "example.com",     # Allow requests from example.com
  #   /.*\.example\.com/ # Allow requests from subdomains like `www.example.com`
  # ]
  #
  # config.host_authorization = { exclude: ->(request) { request.path == "/up" } }
end
