-- The query cache in Valkey, never older than a write that was answered. An entry carries the generations that were current
-- before Chroma was asked, and counts only while they still are. A generation is a random token and never a counter,
-- which after an eviction would come back to an old number. Each write replaces the one of what it changes, after Chroma has
-- answered, whatever it said, and before the client is told.
local cjson = require "cjson.safe"
local authorize = require "chromafleet.authorize"
local flights = require "chromafleet.flights"
local loaded = require "chromafleet.loaded"
local passage = require "chromafleet.passage"
local valkey = require "chromafleet.valkey"

local _M = {}

-- A generation that nobody used for so long (seconds) is forgotten; a new one takes its place.
local GENERATION_TTL = 86400
-- A write waits this many times longer for Valkey than a read: giving up costs everybody the cache until the doubt is settled.
local PERSEVERANCE = 5
-- How often a question waits for a leader before it is asked alone.
local ATTEMPTS = 3
-- Request headers that Chroma's answer may depend on.
local HEADERS = { "http_content_type", "http_content_encoding", "http_accept" }
local STATUSES = { "hit", "shared", "miss", "skipped", "bypass", "off" }
-- To look and to keep costs a busy host a tenth of its queries, for nothing where nobody asks the same twice. After so many
-- questions without a hit, one that this node has not been asked lately goes to Chroma at once.
local FRUITLESS = 1000

local state = ngx.shared.cache
local asked_lately = ngx.shared.questions
local config
local excluded = {}
-- Of this worker: questions since the last hit.
local fruitless = 0

-- The version of the data, empty on the writer.
local function version()
    return config.version
end

-- `told`, if any, is a function that tells the version of the data instead.
function _M.configure(path, told)
    config = cjson.decode(loaded.read(path))
    version = told or version
    if type(config) ~= "table" then
        error(path .. " does not hold the settings of the cache", 0)
    end
    for _, name in ipairs(config.excluded_tokens) do
        excluded[name] = true
    end
    valkey.configure(config)
    -- A reload keeps what is in doubt, a start knows nothing; and nothing was written down while the cache was off.
    if not config.enabled or not state:get("doubts") then
        valkey.doubt()
    end
end

-- Unique, for each generation's token is set once: a late repetition could bring back an old one.
local function token(occasion)
    return ngx.var.request_id .. occasion
end

local function join(...)
    return table.concat({ config.cell, ... }, "|")
end

local function collection_generation(found)
    return join("generation", "collection", found.collection)
end

local function database_generation(found)
    return join("generation", "database", ngx.escape_uri(found.tenant), ngx.escape_uri(found.database))
end

local function cell_generation()
    return join("generation", "cell")
end

-- The generations that an entry depends on. A reader's data never changes: its version says all.
local function dependencies(found)
    if version() ~= "" then
        return {}
    end
    return { collection_generation(found), database_generation(found), cell_generation() }
end

-- The generation of what a request changes, or nil.
local function changed(route, found)
    if route.scope == "any" or route.scope == "read" or route.changes == "nothing" then
        return nil
    elseif found.collection then
        return collection_generation(found)
    elseif found.database then
        return database_generation(found)
    end
    return cell_generation()
end

local function mark(status)
    ngx.var.cache_status = status
    ngx.header["X-Cache"] = status
    state:incr(status, 1, 0)
end

local function answer(status, body)
    fruitless = 0
    mark(status)
    ngx.header["Content-Type"] = "application/json"
    ngx.header["Content-Length"] = #body
    ngx.print(body)
    return ngx.exit(ngx.HTTP_OK)
end

local function is_declined()
    local wish = (ngx.var.http_cache_control or ""):lower()
    return not config.enabled or excluded[ngx.ctx.token.name] or wish:find("no-cache", 1, true) or wish:find("no-store", 1, true)
end

-- Where the answer to this request is kept, or nil for a body that is too large to be held in memory.
local function key_of(route, found)
    ngx.req.read_body()
    if ngx.req.get_body_file() then
        return nil
    end
    local asked = { ngx.var.args or "" }
    for _, header in ipairs(HEADERS) do
        asked[#asked + 1] = ngx.var[header] or ""
    end
    -- The body comes last: only it may hold a zero byte.
    asked[#asked + 1] = ngx.req.get_body_data() or ""
    return join("entry", version(), ngx.escape_uri(found.tenant), ngx.escape_uri(found.database), found.collection,
        route.parts[#route.parts], loaded.sha256_hex(table.concat(asked, "\0")))
end

-- Where the node doubts that Valkey has every generation, one that covers them all is replaced; one request does so, while the
-- others do without the cache.
local function settle(client)
    local doubts = version() == "" and valkey.doubts()
    if not doubts then
        return true
    elseif not state:add("settling", true, 1) then
        return false
    end
    local ok, err = client:set(cell_generation(), token("settled"), "EX", GENERATION_TTL)
    if ok then
        valkey.settle(doubts)
    end
    state:delete("settling")
    return ok and true or nil, err
end

-- Entry and generations in one round trip; a second one where a generation is missing.
local function read(client, key, keys)
    local values, err = client:mget(key, unpack(keys))
    if not values then
        return nil, err
    end
    local missing = false
    for i, generation in ipairs(keys) do
        if values[i + 1] == ngx.null then
            missing = true
            local made
            made, err = client:set(generation, token("made"), "EX", GENERATION_TTL, "NX")
            if not made then
                return nil, err
            end
        end
    end
    if missing then
        return read(client, key, keys)
    end
    return values
end

-- The entry's body if there is one, and the generations for a new one; or nil where the cache can't be used.
local function look(key, found)
    local keys = dependencies(found)
    return valkey.use(config.timeout, function(client)
        local settled, err = settle(client)
        if not settled then
            return nil, err
        end
        local values
        values, err = read(client, key, keys)
        if not values then
            return nil, err
        end
        local entry = table.remove(values, 1)
        local generations = table.concat(values, " ") .. "\n"
        local is_current = entry ~= ngx.null and entry:sub(1, #generations) == generations
        return { generations = generations, body = is_current and entry:sub(#generations + 1) or nil }
    end)
end

-- Access phase, after authorization and before the gate: answers, or lets the request go to Chroma.
function _M.lookup()
    local route, found = ngx.ctx.route, ngx.ctx.found
    if not route.cached then
        return
    elseif is_declined() then
        return mark("off")
    end
    local key = key_of(route, found)
    -- Chroma serves a collection under any path, but who deletes a database replaces the generation of that database only.
    if not key or not authorize.owns(found) then
        return mark("bypass")
    end
    fruitless = fruitless + 1
    if fruitless > FRUITLESS and asked_lately:add(key, true, config.ttl) then
        return mark("skipped")
    end
    for _ = 1, ATTEMPTS do
        local there = look(key, found)
        if not there then
            return mark("bypass")
        elseif there.body then
            return answer("hit", there.body)
        end
        local flight, leads = flights.join(there.generations .. key)
        if leads then
            if not flights.lead(flight) then
                there = look(key, found) or there
                if there.body then
                    flights.land(flight, there.body)
                    return answer("hit", there.body)
                end
            end
            flight.key, flight.generations, flight.version = key, there.generations, version()
            break
        elseif flight.body then
            return answer("shared", flight.body)
        elseif flight.alone then
            break
        end
    end
    return mark("miss")
end

local function store(_, flight)
    local _, err = valkey.use(config.timeout, function(client)
        return client:set(flight.key, flight.generations .. flight.body, "EX", config.ttl)
    end)
    state:incr(err and "not_stored" or "stored", 1, 0)
    flights.clear(flight)
end

-- Body filter: keeps what a leader is answered, up to the size of an entry.
function _M.collect()
    local flight = flights.mine()
    if not flight then
        return
    end
    local part, is_last = ngx.arg[1], ngx.arg[2]
    flight.size = flight.size + #part
    if ngx.status ~= 200 or flight.size > config.max_entry_size then
        return flights.land(flight, nil, true)
    end
    table.insert(flight.parts, part)
    if is_last then
        flights.land(flight, table.concat(flight.parts))
        if not ngx.timer.at(0, store, flight) then
            flights.clear(flight)
        end
    end
end

-- The answer of this request is nothing to share or to keep: somebody else gives it.
function _M.forgo()
    local flight = flights.mine()
    if flight then
        flights.land(flight, nil, true)
    end
end

-- Likewise where it comes from data of another version.
function _M.expect(found)
    local flight = flights.mine()
    if flight and flight.version ~= found then
        flights.land(flight, nil, true)
    end
end

-- Access phase: a write goes to Chroma from here, because its answer must wait for Valkey.
function _M.change()
    local generation = config.enabled and version() == "" and changed(ngx.ctx.route, ngx.ctx.found)
    if not generation then
        return
    end
    local began = ngx.now()
    local said = passage.write()
    local done = valkey.use(config.timeout * PERSEVERANCE, function(client)
        return client:set(generation, token("changed"), "EX", GENERATION_TTL)
    end)
    if not done then
        valkey.doubt()
    end
    if not said then
        return ngx.exec("@unavailable")
    end
    ngx.var.change_status = said.status
    ngx.var.change_time = string.format("%.3f", ngx.now() - began)
    ngx.status = said.status
    for name, value in pairs(said.header) do
        ngx.header[name] = value
    end
    ngx.print(said.body)
    return ngx.exit(ngx.HTTP_OK)
end

-- Log phase: it comes for every request, also one that was never answered.
function _M.leave()
    local flight = flights.mine()
    if flight then
        flights.land(flight)
    end
end

local function counts()
    local counted = {}
    for _, status in ipairs(STATUSES) do
        counted[status] = state:get(status) or 0
    end
    return counted
end

local function hit_ratio(counted)
    local hits = counted.hit + counted.shared
    local asked = hits + counted.miss + counted.skipped + counted.bypass
    return asked > 0 and hits / asked or nil
end

-- For the host itself: GET tells how it goes; DELETE says that Chroma has other data now, so that nothing of before is trusted.
function _M.status()
    local method = ngx.req.get_method()
    if method == "DELETE" then
        valkey.doubt()
    elseif method ~= "GET" then
        ngx.status = 405
        ngx.header["Content-Type"] = "application/json"
        return ngx.say(cjson.encode({ message = "The methods are GET and DELETE." }))
    end
    local told = counts()
    told.hit_ratio = hit_ratio(told)
    told.enabled, told.resting, told.in_doubt = config.enabled, valkey.rests(), valkey.doubts() ~= nil
    for _, name in ipairs({ "stored", "not_stored", "errors", "late" }) do
        told[name] = state:get(name) or 0
    end
    ngx.header["Content-Type"] = "application/json"
    ngx.say(cjson.encode(told))
end

return _M
