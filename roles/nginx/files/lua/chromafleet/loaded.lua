-- What this nginx was started or last reloaded with: the SHA-256 of each file, as it was read then.
-- A reload that failed, or never took place, is seen by comparing it with the files on the disk.
local cjson = require "cjson.safe"
local sha256 = require "nginx.sha256"
local to_hex = require("nginx.string").to_hex

local _M = {}

local digests = {}

function _M.sha256_hex(text)
    local digest = sha256:new()
    digest:update(text)
    return to_hex(digest:final())
end

function _M.read(path)
    local file, err = io.open(path, "rb")
    if not file then
        error("can't read " .. err, 0)
    end
    local text = file:read("*a")
    file:close()
    return text
end

-- Called while nginx reads its configuration, as root.
function _M.note(path)
    digests[path] = _M.sha256_hex(_M.read(path))
end

-- `path` and `digest` are those of the tokens, which are exchanged without a reload.
function _M.answer(path, digest)
    local all = { [path] = digest }
    for file, its in pairs(digests) do
        all[file] = its
    end
    ngx.header["Content-Type"] = "application/json"
    ngx.say(cjson.encode(all))
end

return _M
