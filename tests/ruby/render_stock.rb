# Renders the generators' templates as Thor does, with the flags of `rails new` given as JSON:
# [{"template": PATH, "release": "rails-8.1.0", "flags": {...}}, ...] → [TEXT, ...].
# The package lists are Rails' own methods (railties, lib/rails/generators/app_base.rb).
require "erb"
require "json"
require "ostruct"

class Generator
  attr_reader :flags

  def initialize(release, flags)
    @release, @flags = release, flags
  end

  %w[skip_active_record skip_active_storage skip_asset_pipeline skip_thruster skip_solid depend_on_bootsnap
     keeps yarn_through_corepack].each { |name| define_method("#{name}?") { flags[name] } }

  def options
    OpenStruct.new(%w[api skip_ci skip_kamal].to_h { |name| ["#{name}?", flags[name]] })
  end

  def using_node? = flags["javascript"] == "node"
  def using_bun? = flags["javascript"] == "bun"
  def using_js_runtime? = using_node? || using_bun?
  def sqlite3? = !skip_active_record? && flags["database"] == "sqlite3"
  def skip_storage? = skip_active_storage? && !sqlite3?
  def app_name = flags["app_name"]
  def gem_ruby_version = Gem.ruby_version
  def node_version = "22.11.0"
  def dockerfile_yarn_version = flags["yarn"]
  def dockerfile_bun_version = "1.1.34"
  def dockerfile_binfile_fixups = flags["fixups"]

  def dockerfile_chown_directories
    directories = %w(log tmp)
    directories << "storage" unless skip_storage?
    directories << "db" unless skip_active_record?
    directories.sort
  end

  def dockerfile_base_packages
    client = { "mysql" => "default-mysql-client", "trilogy" => "default-mysql-client",
               "postgresql" => "postgresql-client", "sqlite3" => "sqlite3" }
    packages = ["curl"]
    packages << client[flags["database"]] unless skip_active_record?
    packages << "libvips" unless skip_active_storage?
    packages << "libjemalloc2"
    packages.compact.sort
  end

  def dockerfile_deploy_packages
    client = { "mysql" => "default-mysql-client", "postgresql" => "postgresql-client", "sqlite3" => "libsqlite3-0" }
    packages = ["curl"]
    packages << client[flags["database"]] unless skip_active_record?
    packages << "libvips" unless skip_active_storage?
    packages.compact.sort
  end

  def dockerfile_build_packages
    packages = %w(build-essential git pkg-config)
    packages << "libyaml-dev" if flags["libyaml"]
    packages << { "mysql" => "default-libmysqlclient-dev", "postgresql" => "libpq-dev" }[flags["database"]] unless skip_active_record?
    packages << "curl" if using_js_runtime? && @release.start_with?("rails-7.1")
    packages << "unzip" if using_bun?
    packages << "node-gyp" << "python-is-python3" if using_node?
    packages << "libvips" if flags["libvips"] && !skip_active_storage?
    packages.compact.sort
  end

  def render(template)
    ERB.new(File.read(template), trim_mode: "-").result(binding)
  end
end

puts JSON.generate(JSON.parse($stdin.read).map { |one| Generator.new(one["release"], one["flags"]).render(one["template"]) })
