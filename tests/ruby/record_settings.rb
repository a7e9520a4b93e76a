# Says what environment files set, by running each of them against a Rails made of nothing.
#
# Reads a JSON list of {"path": ..., "env": {...}} and writes a JSON list of
# {"settings": {name: value}, "calls": [...], "error": message or null}, in the same order.
# A value is what `inspect` says of it. A call is anything on `config` that is not an assignment.
require "json"

# Stands for any constant, and for whatever one may call on it.
class Anything < BasicObject
  def initialize(name) = @name = name.to_s

  def method_missing(method, *arguments)
    ::Anything.new("#{@name}.#{method}#{::Values.of(arguments)}")
  end

  def respond_to_missing?(*) = true
  def inspect = @name
  def to_s = @name
  def to_str = @name
  def to_i = 1
  def to_int = 1
  def to_a = [self]
  def to_ary = nil
  def to_hash = {}
  def to_proc = ::Kernel.proc { |*| self }
  def nil? = false
  def coerce(other) = [other, 1]
  def class = ::Anything
  def is_a?(_) = false
  def hash = @name.hash
  def respond_to?(*) = true
end

# `config`, and `config.active_job` and its like.
class Config < BasicObject
  def initialize(log, prefix = "")
    @log, @prefix = log, prefix
  end

  def method_missing(method, *arguments, &block)
    name = "#{@prefix}#{method}"
    if method.end_with?("=") && !%i[== []=].include?(method)
      return @log[:settings][name.chomp("=")] = arguments.first
    end

    return @log[:settings][name] if arguments.empty? && block.nil? && @log[:settings].key?(name)

    @log[:calls] << [name, ::Values.of(arguments)] if arguments.any? || block
    block&.call(*[::Anything.new(name)] * block.arity.abs)
    ::Config.new(@log, "#{name}.")
  end

  def respond_to?(*) = true
  def respond_to_missing?(*) = true
  def inspect = "config.#{@prefix}"
  def nil? = false
  def !=(other) = method_missing(:!=, other)
end

module Values
  def self.of(value)
    case value
    when Proc then "a proc"
    when Array then value.map { |one| of(one) }
    when Hash then value.to_h { |key, one| [key.inspect, of(one)] }
    else value.inspect.gsub(/0x\h+/, "0x")
    end
  end
end

class Application
  def config = @config ||= Config.new($log)
  def configure(&block) = instance_eval(&block)
  def method_missing(name, *) = Anything.new("application.#{name}")
  def respond_to_missing?(*) = true
end

module Rails
  class << self
    def application = $application
    alias app application
    def configuration = application.config
    def env = Anything.new("Rails.env")
    def root = Anything.new("Rails.root")
    def method_missing(name, *) = Anything.new("Rails.#{name}")
    def respond_to_missing?(*) = true
  end
end

# What a constant is that nobody defined: a class, so that constants below it can be named.
class Unknown
  def self.new(*) = Anything.new("#{name}.new")
  def self.method_missing(method, *arguments, &block)
    block&.call(*[Anything.new(method)] * block.arity.abs)
    Anything.new("#{name}.#{method}#{Values.of(arguments)}")
  end

  def self.respond_to_missing?(*) = true
end

class Module
  # `Foo::Application` is the application, whatever Foo is.
  def const_missing(name)
    name == :Application ? $application : const_set(name, Class.new(Unknown))
  end
end

class Object
  def present? = !(nil? || self == false || (respond_to?(:empty?) && empty?))
  def blank? = !present?
  def presence = present? ? self : nil
  def in?(list) = list.include?(self)
end

class Numeric
  %i[second minute hour day week month year byte kilobyte megabyte gigabyte].each do |unit|
    define_method(unit) { "#{self} #{unit}s" }
    define_method(:"#{unit}s") { "#{self} #{unit}s" }
  end
end

class String
  def ago = "#{self} ago"
  def squish = split.join(" ")
  def constantize = Anything.new(self)
end

module Kernel
  def require_relative(*) = true
end

def record(path, env)
  $log = { settings: {}, calls: [] }
  $application = Application.new
  error = nil
  before = ENV.to_h
  ENV.update(env)
  begin
    load(path, true)
  rescue ScriptError, StandardError, SystemStackError => problem
    error = "#{problem.class}: #{problem.message.lines.first}"
  end
  ENV.replace(before)
  settings = $log[:settings].transform_values { |value| Values.of(value) }
  { settings: settings, calls: $log[:calls], error: error }
end

files = JSON.parse(STDIN.read)
JSON.generate([]) # loads what JSON loads late, before `require` stops working
Kernel.send(:define_method, :require) { |*| true }
answers = files.map { |file| record(file["path"], file["env"] || {}) }
$stdout.write(JSON.generate(answers))
