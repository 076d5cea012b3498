-- Queries with a filter: Chroma is some twenty times slower with them than without, so that a single
-- client could keep a host busy. They are told by their body.
local cjson = require "cjson.safe"

local _M = {}

-- The keys that hold a filter: routes.lua names those of a route.
local function has_filter(body, keys)
    for _, key in ipairs(keys) do
        local filter = body[key]
        if filter ~= nil and filter ~= cjson.null and (type(filter) ~= "table" or next(filter) ~= nil) then
            return true
        end
    end
    return false
end

-- Whether the text may have a filter under a key that begins so. Clients say "where":null for none.
local function may_have(text, key)
    local _, last = text:find('"' .. key, 1, true)
    while last and text:find('^[%w_]*"%s*:%s*null%s*[,}]', last + 1) do
        _, last = text:find('"' .. key, last + 1, true)
    end
    return last ~= nil
end

local function spilled()
    local path = ngx.req.get_body_file()
    local file = path and io.open(path, "rb")
    local text = file and file:read("*a")
    if file then
        file:close()
    end
    return text
end

-- Access phase, when the body has been read. Only a body in which a key may occur is decoded; in an escaped form (\u0077here)
-- it would not be found. What is not understood here counts as filtered, and so does what is too long to be decoded in passing.
function _M.filtered(route)
    if not route.filters then
        return false
    end
    local body = ngx.req.get_body_data()
    local text = body or spilled()
    local suspicious = text and text:find("\\u", 1, true)
    for _, key in ipairs(route.filters) do
        suspicious = suspicious or text and may_have(text, key)
    end
    if not suspicious or not body then
        return not not suspicious
    end
    local decoded = cjson.decode(body)
    if type(decoded) ~= "table" then
        return true
    end
    for _, search in ipairs(type(decoded.searches) == "table" and decoded.searches or {}) do
        if type(search) == "table" and has_filter(search, route.filters) then
            return true
        end
    end
    return has_filter(decoded, route.filters)
end

return _M
