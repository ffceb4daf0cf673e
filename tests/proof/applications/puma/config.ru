# Two paths: an answer at once, and one that takes 12 s.
run(lambda do |env|
  sleep 12 if env['PATH_INFO'] == '/slow'
  [200, { 'Content-Type' => 'text/plain' }, ["ok\n"]]
end)
