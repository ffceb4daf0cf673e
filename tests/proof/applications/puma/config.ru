# Two paths: an answer at once, and one that takes 20 s.
run(lambda do |env|
  sleep 20 if env['PATH_INFO'] == '/slow'
  [200, { 'Content-Type' => 'text/plain' }, ["ok\n"]]
end)
