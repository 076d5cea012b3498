-- The way of a request that may pass to Chroma: what it waits for, and whether it is sent again when Chroma failed it.
local bridge = require "chromafleet.bridge"
local fence = require "chromafleet.fence"
local filters = require "chromafleet.filters"
local gate = require "chromafleet.gate"

local _M = {}

-- Access phase, after the token's rights: each kind of request has its location, a plain read this one.
function _M.choose()
    -- Before anything is waited for or held: a client that is slow in sending holds up itself only.
    ngx.req.read_body()
    local route = ngx.ctx.route
    if route.writes then
        return ngx.exec("@write")
    elseif filters.filtered(route) then
        return ngx.exec("@filtered")
    end
    return _M.enter("read")
end

local function last(list)
    return list and list:match("(%d+)%D*$")
end

-- Whether Chroma may be given this request again. A read may. A write only when not a byte of it was sent: what was sent may
-- have been done. Writes have a connection of their own each, so that this is known: on a kept connection, which Chroma might
-- have closed just then, it would not be.
local function once_more(kind, tries)
    if tries >= bridge.TRIES then
        return false
    end
    return last(ngx.var.upstream_bytes_sent) == "0" or (kind ~= "write" and last(ngx.var.upstream_status) == "502")
end

-- Before a request is passed on, the first time and each time that nginx comes back with an error of the connection.
function _M.enter(kind)
    local tried = ngx.var.upstream_status
    if tried then
        _M.leave()
        local _, tries = tried:gsub("%d+", "")
        if kind == "filtered" and last(tried) == "504" and last(ngx.var.upstream_bytes_sent) ~= "0" then
            return ngx.exec("@too_slow")
        elseif not once_more(kind, tries) then
            return ngx.exec("@unavailable")
        end
        bridge.suspect()
    end
    if not bridge.wait() then
        return ngx.exec("@unavailable")
    end
    if kind == "write" then
        fence.pass()
    end
    return gate.enter(kind == "filtered")
end

local METHODS = { POST = ngx.HTTP_POST, PUT = ngx.HTTP_PUT, PATCH = ngx.HTTP_PATCH, DELETE = ngx.HTTP_DELETE }

-- Gives a write to Chroma from the Lua code, for which the same holds as in the location @write, and returns the answer; none
-- where there is none that the client could be told. For who has something to do before the client is told.
function _M.write()
    ngx.req.read_body()
    local how = { method = METHODS[ngx.req.get_method()], always_forward_body = true, share_all_vars = true }
    for _ = 1, bridge.TRIES do
        if not bridge.wait() then
            return nil
        end
        fence.pass()
        gate.enter(false)
        ngx.var.sent = ""
        local said = ngx.location.capture("/.write", how)
        _M.leave()
        if not said.truncated then
            return said
        end
        -- No page of an error comes in a subrequest; this note was made in it.
        if ngx.var.sent ~= "0" then
            return nil
        end
        bridge.suspect()
    end
end

-- When Chroma's answer begins, for which it has then done all its work: it doesn't stream. And at the end of every request.
function _M.leave()
    gate.leave()
    fence.leave()
end

return _M
