-- nvim --headless -u NONE -c 'luafile nvim.lua', with MESH_HOST, MESH_PORT and MESH_OTHER in the environment.

local host, port, other = os.getenv('MESH_HOST'), os.getenv('MESH_PORT'), os.getenv('MESH_OTHER')
local channel = vim.fn.sockconnect('tcp', host .. ':' .. port, { rpc = true })

local function request(...)
  return vim.rpcrequest(channel, ...)
end

local function same(got, want)
  if got ~= want then
    error(('got %s, want %s'):format(vim.inspect(got), vim.inspect(want)), 2)
  end
end

local function fails(...)
  local ok = pcall(request, ...) -- Neovim shows no error that is a map: "unknown error"
  same(ok, false)
  same(type(request('mesh.Ping').node), 'string') -- the connection lives on
end

local cases = {
  { 'a peer by name', function()
    same(request('mesh.Ping', vim.empty_dict(), { peer = other }).node, other)
  end },
  { 'the owner of a key, through another node', function()
    local own, keys = request('mesh.Ping').node, {}
    for i = 1, 50 do
      keys[i] = 'key-' .. i
    end
    for _, one in ipairs(request('mesh.Owner', { keys = keys, n = 1 }).owners) do
      if one.owners[1] ~= own then
        local reply = request('mesh.Echo', { data = 'hello' }, { key = one.key })
        same(reply.node, one.owners[1])
        return same(reply.data, 'hello')
      end
    end
    error(own .. ' owns all keys')
  end },
  { 'all options', function()
    same(request('mesh.Echo', { data = 'x' }, { key = 'k', timeout_ms = 5000 }).data, 'x')
  end },
  { 'an unknown method', function()
    fails('no.Such')
  end },
  { 'an unknown option', function()
    fails('mesh.Ping', vim.empty_dict(), { color = 'red' })
  end },
  { 'an unknown peer', function()
    fails('mesh.Ping', vim.empty_dict(), { peer = 'nobody' })
  end },
  { '1000 requests one by one', function()
    for i = 1, 1000 do
      same(request('mesh.Echo', { data = tostring(i) }, { key = 'key-' .. i }).data, tostring(i))
    end
  end },
  { '1000 notifications', function()
    local function calls()
      return request('mesh.Stats').counters.mprpc_calls
    end
    local before = calls()
    for i = 1, 1000 do
      vim.rpcnotify(channel, 'mesh.Echo', { data = tostring(i) }, { key = 'key-' .. i })
    end
    same(calls(), before + 1001) -- they, and the question
  end },
}

local passed, failed = 0, 0
for _, case in ipairs(cases) do
  local ok, err = pcall(case[2])
  if ok then
    passed = passed + 1
    io.stdout:write('ok ' .. case[1] .. '\n')
  else
    failed = failed + 1
    io.stdout:write('FAIL ' .. case[1] .. ': ' .. tostring(err) .. '\n')
  end
end
vim.fn.chanclose(channel)
io.stdout:write(('%d passed, %d failed\n'):format(passed, failed))
io.stdout:flush()
vim.cmd(failed == 0 and 'qall!' or 'cquit')
