# Stands in for an asset pipeline, which Debian has none of for Rails 7.2.
namespace :assets do
  task :precompile do
    mkdir_p "public/assets"
    touch "public/assets/.manifest.json"
  end
end
