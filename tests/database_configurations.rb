# Reads {sources: {name: text of a database.yml}, env, root} as JSON from stdin and answers what Rails
# in the folder root makes of each with these variables, which have RAILS_ENV:
# {name: {database name: {adapter, database, replica}}} or {name: "error"}.
require "erb"
require "json"
require "pathname"
require "yaml"
require "active_record"
require "active_record/database_configurations"
require "active_support/core_ext/hash"

ASKED = JSON.parse($stdin.read)
ENV.replace(ASKED["env"])

module Rails
  def self.env = ActiveSupport::StringInquirer.new(ENV["RAILS_ENV"])
  def self.root = Pathname.new(ASKED["root"])
end

# Rails::Application::Configuration#database_configuration
def with_shared(loaded)
  shared = loaded.delete("shared") or return loaded
  config = loaded[Rails.env]
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
  configurations.configs_for(env_name: Rails.env.to_s, include_replicas: true).to_h do |config|
    hash = config.configuration_hash
    database = hash[:database].to_s.dup.force_encoding("UTF-8").scrub
    # ActiveRecord::ConnectionAdapters::SQLite3Adapter
    plain = hash[:adapter] == "sqlite3" && !["", ":memory:"].include?(database) && !database.start_with?("file:")
    database = File.expand_path(database, Rails.root) if plain
    [config.name, { adapter: hash[:adapter], database: database, replica: config.replica? }]
  end
end

answers = ASKED["sources"].transform_values do |source|
  databases(source)
rescue StandardError, ScriptError => error
  "#{error.class}: #{error.message.dup.force_encoding("UTF-8").scrub}"
end
puts JSON.generate(answers)
