# Reads {name: source of database.yml} as JSON from stdin and answers what Rails makes of each in
# production: {name: {database name: {adapter, database, replica}}} or {name: "error"}.
require "erb"
require "json"
require "pathname"
require "yaml"
require "active_record"
require "active_record/database_configurations"
require "active_support/core_ext/hash"

module Rails
  def self.env = ActiveSupport::StringInquirer.new("production")
  def self.root = Pathname.new("/rails")
end

# Rails::Application::Configuration#database_configuration
def with_shared(loaded)
  shared = loaded.delete("shared") or return loaded
  config = loaded["production"]
  several = ->(hash) { hash.is_a?(Hash) && hash.values.all?(Hash) }
  if several.(config)
    config.each { |name, sub| sub.reverse_merge!(several.(shared) ? shared[name] : shared) }
  else
    config.reverse_merge!(shared)
  end
  loaded
end

def databases(source)
  loaded = with_shared(YAML.unsafe_load(ERB.new(source).result))
  configurations = ActiveRecord::DatabaseConfigurations.new(loaded)
  configurations.configs_for(env_name: "production", include_replicas: true).to_h do |config|
    hash = config.configuration_hash
    database = hash[:database].to_s.dup.force_encoding("UTF-8").scrub
    # ActiveRecord::ConnectionAdapters::SQLite3Adapter
    plain = hash[:adapter] == "sqlite3" && !["", ":memory:"].include?(database) && !database.start_with?("file:")
    database = File.expand_path(database, Rails.root) if plain
    [config.name, { adapter: hash[:adapter], database: database, replica: config.replica? }]
  end
end

ENV.replace("RAILS_ENV" => "production")
answers = JSON.parse($stdin.read).transform_values do |source|
  databases(source)
rescue StandardError, ScriptError => error
  "#{error.class}: #{error.message.dup.force_encoding("UTF-8").scrub}"
end
puts JSON.generate(answers)
