-- Bearer tokens. The host knows their SHA-256 only; see tokens.json. They are exchanged without a reload of nginx, which would
-- close every idle connection of the load balancer, some just when it sends the next request: PUT /tokens on the status server.
local bit = require "bit"
local cjson = require "cjson.safe"
local loaded = require "chromafleet.loaded"

local _M = {}

-- Digests are found by their first digits, so that a thousand tokens cost as little as one. That step tells an attacker
-- nothing: he can't choose a token by its hash. The whole digest is then compared in constant time.
local PREFIX = 8
local SCOPES = { read = true, write = true, admin = true }
-- The text of tokens.json, its path and its digest, for all workers.
local shared = ngx.shared.tokens
-- What this worker made of the text with that digest.
local by_prefix = {}
local made_from

local function parse(text)
    local tokens, err = cjson.decode(text)
    if type(tokens) ~= "table" then
        error("the file is not a list of tokens: " .. tostring(err), 0)
    end
    local found = {}
    for _, token in ipairs(tokens) do
        if type(token.name) ~= "string" or not SCOPES[token.scope] or type(token.tenants) ~= "table"
            or type(token.sha256) ~= "string" or not token.sha256:match("^%x+$") or #token.sha256 ~= 64 then
            error("a token lacks its name, scope, tenants or sha256", 0)
        end
        local prefix = token.sha256:sub(1, PREFIX)
        found[prefix] = found[prefix] or {}
        table.insert(found[prefix], token)
    end
    return found
end

-- While nginx reads its configuration; and when it is told that the file is another one.
function _M.load(path)
    local text = loaded.read(path)
    parse(text)
    -- The digest last: it makes the workers look at the text.
    for key, value in pairs({ path = path, text = text }) do
        assert(shared:safe_set(key, value))
    end
    assert(shared:safe_set("digest", loaded.sha256_hex(text)))
end

function _M.loaded()
    return shared:get("path"), shared:get("digest")
end

-- Content phase, on the status server.
function _M.answer()
    local done, err = false, "The method is PUT."
    if ngx.req.get_method() == "PUT" then
        done, err = pcall(_M.load, shared:get("path"))
    end
    ngx.status = done and 200 or 400
    ngx.header["Content-Type"] = "application/json"
    ngx.say(cjson.encode(done and { sha256 = shared:get("digest") } or { message = tostring(err) }))
end

local function equal(a, b)
    if #a ~= #b then
        return false
    end
    local difference = 0
    for i = 1, #a do
        difference = bit.bor(difference, bit.bxor(a:byte(i), b:byte(i)))
    end
    return difference == 0
end

function _M.find(secret)
    local newest = shared:get("digest")
    if newest ~= made_from then
        by_prefix, made_from = parse(shared:get("text")), newest
    end
    local digest = loaded.sha256_hex(secret)
    for _, token in ipairs(by_prefix[digest:sub(1, PREFIX)] or {}) do
        if equal(token.sha256, digest) then
            return token
        end
    end
end

-- The names of the errors are those that the Chroma client turns into exceptions.
local function refuse(message)
    ngx.status = ngx.HTTP_UNAUTHORIZED
    ngx.header["Content-Type"] = "application/json"
    ngx.header["WWW-Authenticate"] = 'Bearer realm="chroma"'
    ngx.say(cjson.encode({ error = "AuthorizationError", message = message }))
    return ngx.exit(ngx.HTTP_UNAUTHORIZED)
end

-- Rewrite phase: notes whose token it is, which the rate limits between the two phases ask for.
function _M.recognise()
    local secret = (ngx.var.http_authorization or ""):match("^[Bb][Ee][Aa][Rr][Ee][Rr] +(%S+)$")
    local token = secret and _M.find(secret)
    if token then
        ngx.var.token_name = token.name
        ngx.ctx.token = token
    end
end

-- Access phase: lets a request with a known token pass.
function _M.check()
    if ngx.ctx.token then
        return
    elseif ngx.var.http_authorization then
        return refuse("The token is not known here.")
    end
    return refuse("No token was sent; send the header Authorization: Bearer <token>.")
end

return _M
