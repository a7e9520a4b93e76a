# Settings of the shop's one server. Última revisão: março.
Shop::Application.configure do
	config.eager_load = true
	config.hosts = %w[
		shop.example
		www.shop.example
	]
	config.assume_ssl = ENV["DISABLE_SSL"].blank?
	config.force_ssl = true unless ENV.key?("DISABLE_SSL")

	# Uploads went to the cloud once.
	# config.active_storage.service = :amazon

	# config.cache_store = :mem_cache_store
	config.cache_store = :redis_cache_store, {
		url: ENV["REDIS_URL"],
		error_handler: ->(method:, returning:, exception:) { warn "#{method}: #{exception}" }
	}

	config.x.motd = <<~TEXT.strip
	  config.force_ssl = false
	  # config.active_job.queue_adapter = :resque
	TEXT

	if ENV["MAIL"]
		# config.active_job.queue_adapter = :resque
		config.action_mailer.delivery_method = :smtp
	end
end

=begin
config.active_job.queue_adapter = :resque
=end
__END__
config.cache_store = :mem_cache_store
