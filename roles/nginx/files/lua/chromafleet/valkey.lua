-- Connections to the Valkey of the cell that never hold a request up: every step has a time limit, and where too large a share
-- of the calls fails, none is made for a while.
local redis = require "nginx.redis"
local semaphore = require "ngx.semaphore"

local _M = {}

-- The breaker opens when of the calls that end within WINDOW seconds FEWEST, and more than SHARE of them, have failed. It stays
-- open for PAUSE seconds; then one call tries.
local WINDOW = 1
local FEWEST = 3
local SHARE = 0.3
local PAUSE = 2
-- A time limit that was noticed only after so many times its length says that this worker was busy, with a thousand new clients
-- for instance, and nothing about Valkey. To leave the cache alone then would keep everybody busy.
local LATE = 2
local IDLE_MILLISECONDS = 60000

local state = ngx.shared.cache
local config
-- Of each worker: places for calls. A burst waits for a connection that is there rather than making a thousand of them.
local places

function _M.configure(given)
    config = given
end

-- Generations are in doubt where Valkey may not have what was written: no entry is trusted until the doubts are settled.
function _M.doubt()
    state:incr("doubts", 1, 0)
end

function _M.doubts()
    local doubts = state:get("doubts") or 0
    return doubts ~= (state:get("settled") or 0) and doubts or nil
end

function _M.settle(doubts)
    state:set("settled", doubts)
end

function _M.rests()
    return state:get("tripped") or false
end

local function allowed()
    return not state:get("open") and (not state:get("tripped") or state:add("trying", true, WINDOW))
end

-- Counted when a call ends, so that both numbers are of the same calls.
local function note(err, late)
    if late then
        state:incr("late", 1, 0)
        return
    end
    local window = math.floor(ngx.now() / WINDOW)
    local ended = state:incr("ended " .. window, 1, 0, 2 * WINDOW)
    if not err then
        if state:get("tripped") then
            state:delete("tripped")
            ngx.log(ngx.WARN, "the query cache is used again")
        end
        return
    end
    state:incr("errors", 1, 0)
    local failed = state:incr("failed " .. window, 1, 0, 2 * WINDOW)
    if state:get("tripped") then
        state:set("open", true, PAUSE)
    elseif failed >= FEWEST and failed > SHARE * ended then
        state:set("open", true, PAUSE)
        state:set("tripped", true)
        ngx.log(ngx.WARN, "the query cache is left alone: Valkey at ", config.host, ":", config.port, ": ", err)
    end
end

-- During a rotation Valkey knows one password or both; the one that it took is tried first from then on.
local function authenticate(client)
    local refused
    for i, password in ipairs(config.auth_tokens) do
        local ok, err = client:auth(password)
        if ok then
            table.insert(config.auth_tokens, 1, table.remove(config.auth_tokens, i))
            return true
        elseif ok == nil then
            return nil, err
        end
        refused = err
    end
    return refused == nil, refused
end

-- A Valkey that was started again, or took over from another, may have lost the last generations or have older ones.
local function recognise(client)
    local about, err = client:info("server")
    if not about then
        return nil, err
    end
    local run = about:match("run_id:(%x+)")
    if run ~= state:get("run") then
        _M.doubt()
        state:set("run", run)
    end
    return true
end

local function connect(milliseconds)
    local client = redis:new()
    client:set_timeout(milliseconds)
    local ok, err = client:connect(config.host, config.port, { pool_size = config.connections })
    if not ok then
        return nil, err
    elseif client:get_reused_times() > 0 then
        return client
    end
    if config.tls then
        -- The client knows no TLS, but its socket does.
        ok, err = rawget(client, "_sock"):sslhandshake(false, config.host, true)
    end
    if ok then
        ok, err = authenticate(client)
    end
    if ok then
        ok, err = recognise(client)
    end
    if not ok then
        client:close()
        return nil, err
    end
    return client
end

local function call(milliseconds, work)
    local client, err = connect(milliseconds)
    if not client then
        return nil, err or "refused"
    end
    local result
    result, err = work(client)
    -- What else comes on a connection after an error is anyone's guess.
    if err then
        client:close()
        return nil, err
    end
    client:set_keepalive(IDLE_MILLISECONDS, config.connections)
    return result
end

-- Does work(client) and returns its result, or nil and why not.
function _M.use(milliseconds, work)
    if not allowed() then
        return nil, "left alone"
    end
    places = places or semaphore.new(config.connections)
    if not places:wait(milliseconds / 1000) then
        return nil, "no connection is free"
    end
    local done, result, err, late
    for _ = 1, 2 do
        local began = ngx.now()
        done, result, err = pcall(call, milliseconds, work)
        late = err == "timeout" and ngx.now() - began > LATE * milliseconds / 1000
        -- Once more where the answer is there by now, or where Valkey had closed a connection that was idle.
        if not done or not err or err == "timeout" and not late then
            break
        end
    end
    places:post(1)
    if not done then
        error(result, 0)
    end
    note(err, late)
    return result, err
end

return _M
