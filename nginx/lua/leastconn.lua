-- least_conn without branches, for a group in which nothing has failed and nothing is bounded: the pick that the loops of
-- balancer.lua make, written out for the servers of one group. Which server has the fewest connections is a coin toss that no
-- branch predicts and of whose outcomes LuaJIT would compile every combination; arithmetic it compiles once.
local ffi = require "ffi"

local M = {}
local LARGEST = 16 -- servers of a group that is written out
local FAR = 1e9    -- beyond every current weight

-- compile returns a function that picks a server, or nil when every pick has to look.
function M.compile(g)
    local up = {}
    for _, p in ipairs(g.main) do
        if p.fails > 0 or p.max_conns > 0 then return nil end
        if not p.down then up[#up + 1] = p end
    end
    local n = #up
    if n == 0 or n > LARGEST then return nil end
    local code, servers, choice = {}, {}, {}
    local function line(...) code[#code + 1] = string.format(...) end
    for i = 1, n do servers[i] = "p" .. i end
    line("local own, others, current, min, max, %s = ...", table.concat(servers, ", "))
    line("return function()")
    for i, p in ipairs(up) do line("local s%d = (own[%d] + others[%d]) / %d", i, p.index, p.index, p.weight) end
    line("local least = s1")
    for i = 2, n do line("least = min(least, s%d)", i) end
    -- t is the weight of a server that has the fewest connections for its weight, else 0: quotients that differ do so by far
    -- more than 1e-12. Among those the smooth weighted round robin decides; a single one leaves it as it was.
    for i, p in ipairs(up) do
        line("local t%d = %d * max(0, 1 - (s%d - least) * 1e12)", i, p.weight, i)
        line("local c%d = current[%d] + t%d", i, i, i)
        line("current[%d] = c%d", i, i)
        line("local k%d = c%d + (t%d / %d - 1) * %.0f", i, i, i, p.weight, FAR)
    end
    local total = {}
    for i = 1, n do total[i] = "t" .. i end
    line("local total, top = %s, k1", table.concat(total, " + "))
    for i = 2, n do line("top = max(top, k%d)", i) end
    for i = 1, n - 1 do line("if k%d == top then current[%d] = c%d - total return p%d end", i, i, i, i) end
    line("current[%d] = c%d - total", n, n)
    line("return p%d", n)
    line("end")
    return assert(loadstring(table.concat(code, "\n"), "=leastconn"))(g.own, g.others, ffi.new("double[?]", n + 1), math.min, math.max, unpack(up))
end

return M
