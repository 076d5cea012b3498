-- What this nginx was started or last reloaded with: the SHA-256 of each file, as it was read then.
-- A reload that failed, or never took place, is seen by comparing it with the files on the disk.
local cjson = require "cjson.safe"
local sha256 = require "nginx.sha256"
local to_hex = require("nginx.string").to_hex

local _M = { digests = {} }

function _M.sha256_hex(text)
    local digest = sha256:new()
    digest:update(text)
    return to_hex(digest:final())
end

-- Reads a file for the caller and remembers its digest; called while nginx reads its configuration, as root.
function _M.read(path)
    local file, err = io.open(path, "rb")
    if not file then
        error("can't read " .. err, 0)
    end
    local text = file:read("*a")
    file:close()
    _M.digests[path] = _M.sha256_hex(text)
    return text
end

function _M.answer()
    ngx.header["Content-Type"] = "application/json"
    ngx.say(cjson.encode(_M.digests))
end

return _M
