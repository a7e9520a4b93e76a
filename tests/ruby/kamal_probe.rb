# Runs inside the real Kamal (an ERB line loads it) and answers, for each line "FOLDER DESTINATION
# VARIABLES" (JSON) on standard input, with a line of JSON: what Kamal makes of config/deploy.yml there.
require "json"

def proxy(config)
  return nil unless config
  { hosts: config.hosts, app_port: config.app_port, ssl: !!config.ssl? }
end

def env(config)
  { clear: config.clear.transform_values(&:to_s),
    secret: config.secret_keys.to_h { |key| config.send(:extract_alias, key) } }
end

def volumes(accessory)
  directories = accessory.send(:path_volumes, accessory.directories)
  accessory.send(:specific_volumes) + directories.map(&:docker_args_string)
end

def answer(folder, destination)
  Dir.chdir(folder)
  file = Pathname.new("config/deploy.yml").expand_path
  raw = Kamal::Configuration.create_from(config_file: file, destination: destination, version: "1")
  {
    raw: raw.raw_config.to_h,
    service: raw.service,
    image: raw.image,
    hosts: raw.app_hosts.sort,
    primary_role: raw.primary_role&.name,
    server: raw.primary_host,
    volumes: raw.raw_config.volumes || [],
    asset_path: raw.asset_path,
    require_destination: !!raw.require_destination?,
    minimum_version: raw.minimum_version,
    secrets_files: raw.secrets.send(:secrets_filenames),
    env: env(raw.env),
    tags: (raw.raw_config.env ? raw.env_tags : []).to_h { |tag| [ tag.name, env(tag.env) ] },
    proxy: proxy(raw.proxy),
    ssh: { user: raw.ssh.user, port: raw.ssh.port },
    local: raw.registry.local?,
    registry: raw.registry.server,
    builder: { arch: raw.builder.arches, dockerfile: raw.builder.dockerfile, pack: raw.builder.pack?,
               context: raw.builder_config_context, local: !raw.builder.local_disabled?,
               remote: raw.builder.remote },
    aliases: raw.aliases.transform_values(&:command),
    roles: raw.roles.map do |role|
      { name: role.name, hosts: role.hosts, cmd: role.cmd, proxy: proxy(role.proxy),
        options: role.option_args, asset_path: role.asset_path,
        tags: role.hosts.to_h { |host| [ host, role.send(:tagged_hosts)[host] ] },
        env: env(role.specialized_env) }
    end,
    accessories: raw.accessories.map do |one|
      { name: one.name, service_name: one.service_name, image: one.image, hosts: one.hosts,
        cmd: one.cmd, files: one.files.map { |_, file| file[:container_path] },
        volumes: volumes(one), env: env(one.env), options: one.option_args,
        proxy: proxy(one.proxy) }
    end
  }
rescue StandardError => error
  { error: "#{error.class}: #{error.message}" }
end

class Kamal::Configuration
  def builder_config_context = builder.builder_config["context"]
end

$stdout.sync = true
BEFORE = ENV.to_h
while (line = $stdin.gets)
  folder, destination, variables = line.chomp.split("\t")
  ENV.replace(BEFORE.merge(JSON.parse(variables)))
  destination = nil if destination.empty?
  puts "ANSWER " + answer(folder, destination).to_json
end
exit! 0
