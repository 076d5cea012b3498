-- The latest different questions, with which a reader's next server is warmed before it serves.
local cjson = require "cjson.safe"

local _M = {}

local MOST = 50
-- A larger body is no typical question.
local LARGEST = 65536
-- The same question counts again after so many seconds.
local FRESH = 60
-- Ports below this one are for root.
local PRIVILEGED = 1024

local shared = ngx.shared.recent

-- Access phase, when the body has been read.
function _M.note(route)
    local body = route.cached and (ngx.req.get_body_data() or "")
    if not body or #body > LARGEST or ngx.req.get_body_file() then
        return
    end
    local path = ngx.var.request_uri
    if not shared:add("seen:" .. ngx.crc32_long(path .. body), true, FRESH) then
        return
    end
    local place = shared:incr("next", 1, 0) % MOST
    shared:set("question:" .. place, cjson.encode({ method = ngx.req.get_method(), path = path, body = ngx.encode_base64(body) }))
end

-- Content phase, on the status server: questions are the clients' own business, so that only root is told.
function _M.answer()
    ngx.header["Content-Type"] = "application/json"
    if tonumber(ngx.var.remote_port) >= PRIVILEGED then
        ngx.status = 403
        ngx.say('{"message":"Ask from a port below 1024."}')
        return
    end
    local found = {}
    for place = 0, MOST - 1 do
        found[#found + 1] = shared:get("question:" .. place)
    end
    ngx.say("[" .. table.concat(found, ",") .. "]")
end

return _M
