-- What a token may do: its scope for each operation, and its tenants. Chroma has neither, and serves a collection by its UUID
-- under any tenant's path.
local cjson = require "cjson.safe"
local bridge = require "chromafleet.bridge"
local routes = require "chromafleet.routes"

local _M = {}

local RANK = { any = 0, read = 1, write = 2, admin = 3 }
local UUID = "^%x%x%x%x%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$"
local owners = ngx.shared.collections
-- Opened by the role's variables.
local open = {}

function _M.configure(opened)
    open = opened
end

-- The errors' names are those that the Chroma client turns into exceptions.
function _M.refuse(status, name, message)
    ngx.status = status
    ngx.header["Content-Type"] = "application/json"
    ngx.say(cjson.encode({ error = name, message = message }))
    return ngx.exit(status)
end

-- Access phase: the collection is not in this database, as far as this host knows. A reader knows what its snapshot has.
function _M.absent(found)
    return _M.refuse(404, "NotFoundError", "Collection [" .. found.collection .. "] does not exist")
end

local function has_tenant(token, tenant)
    for _, name in ipairs(token.tenants) do
        if name == "*" or name == tenant then
            return true
        end
    end
    return false
end

-- Whether the collection is this database's. Chroma checks that on one route only, so it is asked there, once: a UUID never
-- changes hands, and that of a deleted collection answers nothing.
function _M.owns(found)
    local key = table.concat({ found.tenant, found.database, found.collection }, "\0")
    if owners:get(key) then
        return true
    end
    local path = { "/.by-id/api/v2/tenants", ngx.escape_uri(found.tenant), "databases", ngx.escape_uri(found.database),
        "collections/by-id", found.collection }
    local answer = bridge.capture(table.concat(path, "/"), { method = ngx.HTTP_GET })
    if answer.status == 200 then
        owners:set(key, true)
        return true
    end
    return false, answer.status ~= 404 and answer.status or nil
end

-- Access phase, after the token is known.
function _M.check()
    local token = ngx.ctx.token
    local method = ngx.req.get_method()
    local parts = routes.split((ngx.var.request_uri:gsub("[?#].*$", "")))
    if not parts then
        return _M.refuse(400, "InvalidArgumentError",
            "The path is not written plainly: send it without empty or dot parts and without escaped slashes.")
    end
    local route, found, other_method = routes.find(method, parts)
    if not route and parts[1] == "api" and parts[2] == "v1" then
        return _M.refuse(410, "Unimplemented", "The API v1 is gone: use chromadb 1.0 or newer, which speaks v2.")
    elseif not route and other_method then
        return _M.refuse(405, "InvalidArgumentError", "The method " .. method .. " is not known on this path.")
    elseif not route or (route.closed and not open[route.closed]) then
        return _M.refuse(404, "NotFoundError", "There is no such route here.")
    end
    if RANK[token.scope] < RANK[route.scope] then
        return _M.refuse(403, "AuthorizationError", "The token " .. token.name .. " has the scope " .. token.scope
            .. ", but this operation needs " .. route.scope .. ".")
    end
    if route.everywhere and not has_tenant(token, nil) then
        return _M.refuse(403, "AuthorizationError", "The token " .. token.name .. " is for some tenants only, "
            .. "but this operation is for all.")
    end
    if found.tenant and not has_tenant(token, found.tenant) then
        return _M.refuse(403, "AuthorizationError", "The token " .. token.name .. " is not for this tenant.")
    end
    if found.collection then
        if not found.collection:find(UUID) or found.collection ~= found.collection:lower() then
            return _M.refuse(400, "InvalidArgumentError", "The collection's id is no UUID in lower case with dashes.")
        end
        if not has_tenant(token, nil) then
            local yes, fault = _M.owns(found)
            if fault then
                return ngx.exec("@unavailable")
            elseif not yes then
                return _M.absent(found)
            end
        end
    end
    ngx.ctx.route = route
    ngx.ctx.found = found
end

return _M
