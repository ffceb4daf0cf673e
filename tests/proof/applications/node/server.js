// Two paths: an answer at once, and one that takes 20 s. Without --close-on-term there is no handler,
// which is what most programs have.
const http = require('node:http');

const server = http.createServer((request, response) => {
  const answer = () => response.end('ok\n');
  if (request.url === '/slow') setTimeout(answer, 20_000);
  else answer();
});
server.listen(8080, '0.0.0.0');

if (process.argv.includes('--close-on-term')) {
  process.on('SIGTERM', () => server.close(() => process.exit(0)));
}
