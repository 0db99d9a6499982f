'use strict';

const net = require('net');
const Session = require('msgpack5rpc');
const { run } = require('./cases');

run((host, port) => new Promise((resolve, reject) => {
  const socket = net.connect(port, host);
  socket.on('error', reject);
  socket.on('connect', () => {
    const session = new Session();
    session.attach(socket, socket);
    resolve({
      request: (method, params) => new Promise((ok, fail) => {
        session.request(method, params, (error, result) => (error ? fail(error) : ok(result)));
      }),
      notify: (method, params) => session.notify(method, params),
      close: () => socket.end(),
    });
  });
}));
