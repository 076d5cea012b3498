-- Every route of Chroma's API v2 (1.5.9), as GET /openapi.json lists them, and what a token needs for it. What is not here
-- is closed: a later Chroma's new route is first read, then added.
--   scope   the least scope: read < write < admin; `any` asks for no token beyond a known one
--           what needs more than `read` is a write: it changes something, whatever its method
--   filters      keys of the body that hold a filter, see filters.lua
--   everywhere   the route is no single tenant's: only a token for all tenants may use it
--   cached   answered from the query cache; it depends on nothing but the collection and the request
--   changes = "nothing"   no answer in the query cache depends on it; other writes change the collection, database or cell that
--                         they name
-- `:tenant`, `:database` and `:collection` (a UUID) are checked; the other parts of a path are names.
local _M = {}

local TENANT = "/api/v2/tenants/:tenant"
local DATABASE = TENANT .. "/databases/:database"
local COLLECTION = DATABASE .. "/collections/:collection"

_M.list = {
    { "GET", "/api/v2/auth/identity", scope = "any" },
    { "GET", "/api/v2/healthcheck", scope = "any" },
    { "GET", "/api/v2/heartbeat", scope = "any" },
    { "GET", "/api/v2/pre-flight-checks", scope = "any" },
    { "GET", "/api/v2/version", scope = "any" },
    { "POST", "/api/v2/reset", scope = "admin", everywhere = true, closed = "reset" },

    { "POST", "/api/v2/tenants", scope = "admin", everywhere = true, changes = "nothing" },
    { "GET", TENANT, scope = "read" },
    { "PATCH", TENANT, scope = "admin", changes = "nothing" },

    { "GET", TENANT .. "/databases", scope = "read" },
    { "POST", TENANT .. "/databases", scope = "write", changes = "nothing" },
    { "GET", DATABASE, scope = "read" },
    { "DELETE", DATABASE, scope = "admin" },

    { "GET", DATABASE .. "/collections", scope = "read" },
    { "GET", DATABASE .. "/collections_count", scope = "read" },
    { "POST", DATABASE .. "/collections", scope = "write", changes = "nothing" },
    { "GET", DATABASE .. "/collections/by-id/:collection", scope = "read" },
    -- Reading and deleting name a collection, changing one takes its id.
    { "GET", DATABASE .. "/collections/:name", scope = "read" },
    { "DELETE", DATABASE .. "/collections/:name", scope = "write" },
    { "PUT", COLLECTION, scope = "write" },

    { "GET", COLLECTION .. "/count", scope = "read", cached = true },
    { "POST", COLLECTION .. "/get", scope = "read", cached = true, filters = { "where", "where_document" } },
    { "POST", COLLECTION .. "/query", scope = "read", cached = true, filters = { "where", "where_document" } },
    { "POST", COLLECTION .. "/search", scope = "read", cached = true, filters = { "filter" } },
    { "GET", COLLECTION .. "/indexing_status", scope = "read" },
    { "GET", COLLECTION .. "/fork_count", scope = "read" },
    { "GET", COLLECTION .. "/functions/:name", scope = "read" },

    { "POST", COLLECTION .. "/add", scope = "write" },
    { "POST", COLLECTION .. "/update", scope = "write" },
    { "POST", COLLECTION .. "/upsert", scope = "write" },
    { "POST", COLLECTION .. "/delete", scope = "write" },
    { "POST", COLLECTION .. "/fork", scope = "write" },
    { "POST", COLLECTION .. "/functions/attach", scope = "write" },
    { "POST", COLLECTION .. "/attached_functions/:name/detach", scope = "write" },

    { "GET", "/docs", scope = "any", closed = "docs" },
    { "GET", "/openapi.json", scope = "any", closed = "docs" },
}

-- A path as its decoded parts, or nil where it is not written plainly: with an empty part, a dot part, or a slash that is
-- hidden in an escape, nginx and Chroma might not read the same path.
function _M.split(path)
    local parts = {}
    if path:sub(1, 1) ~= "/" or path:find("%%[^%x]") or path:find("%%%x?$") or path:find("%%%x[^%x]") then
        return nil
    end
    for raw in (path:sub(2) .. "/"):gmatch("([^/]*)/") do
        local part = raw:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end)
        if part == "" or part == "." or part == ".." or part:find("[%z\1-\31\127/\\]") then
            return nil
        end
        parts[#parts + 1] = part
    end
    return parts
end

-- Routes by their number of parts, each template split once.
local by_length = {}
for _, route in ipairs(_M.list) do
    route.parts = _M.split(route[2])
    route.writes = route.scope == "write" or route.scope == "admin"
    by_length[#route.parts] = by_length[#route.parts] or {}
    table.insert(by_length[#route.parts], route)
end

local function matches(route, parts)
    local found = {}
    for i, wanted in ipairs(route.parts) do
        if wanted:sub(1, 1) == ":" then
            found[wanted:sub(2)] = parts[i]
        elseif wanted ~= parts[i] then
            return nil
        end
    end
    return found
end

-- The route of a request and the values of its placeholders; without one, whether another method has this path.
function _M.find(method, parts)
    local other_method = false
    for _, route in ipairs(by_length[#parts] or {}) do
        local found = matches(route, parts)
        if found and route[1] == method then
            return route, found
        end
        other_method = other_method or found ~= nil
    end
    return nil, nil, other_method
end

return _M
