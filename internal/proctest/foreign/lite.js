'use strict';

const { createClient } = require('msgpack-rpc-lite');
const { run } = require('./cases');

run(async (host, port) => {
  const client = createClient(port, host);
  client.setMaxListeners(0); // one for each request that waits
  return {
    request: async (method, params) => (await client.request(method, ...params))[0],
    notify: (method, params) => client.notify(method, ...params),
    close: () => client.close(),
  };
});
