# Runs inside the real Kamal (an ERB line loads it), which goes on: for each connection to the socket
# KAMAL_SOCKET names it does what its program does, as a process of its own; see tests/warm.py.
require "socket"

def become(asked, files)
  said = asked.read(asked.read(4).unpack1("N")).force_encoding("UTF-8").split("\0", -1)
  folder, mask, count, *rest = said
  [ $stdin, $stdout, $stderr ].zip(files) { |stream, file| stream.reopen(file) }
  files.each(&:close)
  File.umask(mask.to_i)
  Dir.chdir(folder)
  arguments = rest.shift(count.to_i)
  ENV.replace(rest.to_h { |pair| pair.split("=", 2) }.merge(LIBRARIES))
  ARGV.replace(arguments)
  KAMAL.reset
  load Gem.loaded_specs["kamal"].bin_file("kamal")
  0
rescue SystemExit => leaving
  leaving.status
rescue Exception => error
  # Left to itself, Ruby would end by exit(), which waits for threads that a fork does not have.
  $stderr.write(error.full_message(highlight: false))
  1
ensure
  [ $stdout, $stderr ].each(&:flush)
end

LIBRARIES = ENV.to_h.slice("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
listening = UNIXServer.new(ENV.fetch("KAMAL_SOCKET"))
# Nothing can be read from whoever started this once that has ended.
while IO.select([ listening, $stdin ]).first.include?(listening)
  asked = listening.accept
  Process.detach(fork do
    listening.close
    files = asked.recv_io, asked.recv_io, asked.recv_io
    started = fork { exit!(become(asked, files)) }
    files.each(&:close)
    _, status = Process.wait2(started)
    asked.write(status.exitstatus || -status.termsig)
    exit!(0)
  end)
  asked.close
end
exit! 0
