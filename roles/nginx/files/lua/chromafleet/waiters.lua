-- Requests of one worker that wait for the same event: a single light thread looks whether it has come, and wakes them all.
local semaphore = require "ngx.semaphore"

local _M = {}

-- `come` is asked every `interval` seconds while anybody waits, and may itself wait for a network. The function that is
-- returned waits at most `patience` seconds and tells whether the event came.
function _M.new(come, interval)
    local waiting, watching, bell = 0, false, nil

    local function watch()
        while waiting > 0 and not come() do
            ngx.sleep(interval)
        end
        -- The next ones wait for the next event: what is left of this bell, because somebody gave up just now, is not theirs.
        local rung = bell
        watching, bell = false, nil
        if waiting > 0 then
            rung:post(waiting)
        end
    end

    return function(patience)
        bell = bell or semaphore.new()
        watching = watching or ngx.timer.at(0, watch)
        waiting = waiting + 1
        -- At least one of its milliseconds: for less it returns at once, without any time passing for who asks again.
        local came = bell:wait(math.max(patience, 0.001))
        waiting = waiting - 1
        return came
    end
end

return _M
