'use strict';

// What every client must be able to do. A client is {request(method, params), notify(method, params), close()}, where
// request gives a promise that fails with the error of the answer.

const assert = require('assert');

const PIPELINED = 1000;

function cases(client, other) {
  const echo = (data, ...options) => client.request('mesh.Echo', [{ data }, ...options]);
  const failure = async (method, params) => {
    try {
      await client.request(method, params);
    } catch (error) {
      return error;
    }
    throw new Error(`${method} did not fail`);
  };
  const alive = async () => assert.ok((await client.request('mesh.Ping', [])).node);
  const elsewhere = async (self) => {
    const keys = Array.from({ length: 50 }, (_, i) => `key-${i}`);
    const { owners } = await client.request('mesh.Owner', [{ keys, n: 1 }]);
    return owners.find((o) => o.owners[0] !== self);
  };

  return {
    'a peer by name': async () => {
      const reply = await client.request('mesh.Ping', [{}, { peer: other }]);
      assert.strictEqual(reply.node, other);
    },
    'the owner of a key, through another node': async () => {
      const { node: self } = await client.request('mesh.Ping', []);
      const { key, owners } = await elsewhere(self);
      const reply = await echo(Buffer.from('hello'), { key });
      assert.notStrictEqual(reply.node, self);
      assert.strictEqual(reply.node, owners[0]);
      assert.strictEqual(String(reply.data), 'hello');
    },
    'all options': async () => {
      assert.ok((await echo(Buffer.from('x'), { key: 'k', timeout_ms: 5000 })).node);
    },
    'every byte': async () => {
      const data = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
      assert.deepStrictEqual(Buffer.from((await echo(data, { key: 'bytes' })).data), data);
    },
    'a MiB': async () => {
      const data = Buffer.alloc(1 << 20, 'mesh');
      assert.ok(Buffer.from((await echo(data, { peer: other })).data).equals(data));
    },
    'an unknown method': async () => {
      assert.strictEqual((await failure('no.Such', [])).code, 'Unimplemented');
      await alive();
    },
    'an unknown option': async () => {
      const error = await failure('mesh.Ping', [{}, { color: 'red' }]);
      assert.strictEqual(error.code, 'InvalidArgument');
      assert.match(error.message, /color/);
      await alive();
    },
    'an unknown peer': async () => {
      assert.strictEqual((await failure('mesh.Ping', [{}, { peer: 'nobody' }])).code, 'NotFound');
    },
    [`${PIPELINED} requests at once`]: async () => {
      const replies = await Promise.all(
        Array.from({ length: PIPELINED }, (_, i) => echo(Buffer.from(`${i}`), { key: `key-${i}` })),
      );
      replies.forEach((reply, i) => assert.strictEqual(String(reply.data), `${i}`));
      assert.ok(new Set(replies.map((reply) => reply.node)).size > 1, 'one node answered all');
    },
    'a notification': async () => {
      const calls = async () => (await client.request('mesh.Stats', [])).counters.mprpc_calls;
      const before = await calls();
      client.notify('mesh.Echo', [{ data: Buffer.from('x') }]);
      assert.strictEqual(await calls(), before + 2); // it, and the question
    },
  };
}

// run prints a line for each case and sets the exit status.
async function run(connect) {
  const [host, port, other] = process.argv.slice(2);
  const client = await connect(host, Number(port));
  let passed = 0;
  let failed = 0;
  for (const [name, one] of Object.entries(cases(client, other))) {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error('no end within 30 s')), 30000);
    });
    try {
      await Promise.race([one(), late]);
      passed++;
      console.log(`ok ${name}`);
    } catch (error) {
      failed++;
      console.log(`FAIL ${name}: ${error && error.stack ? error.stack : JSON.stringify(error)}`);
    } finally {
      clearTimeout(timer);
    }
  }
  client.close();
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = failed ? 1 : 0;
}

module.exports = { run };
