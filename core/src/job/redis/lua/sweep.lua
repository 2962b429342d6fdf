-- Brings the queue up to date, in steps. ARGV[4]: how many of each sort at most. Gives how
-- many were moved, and how many of them stalled.
local most = tonumber(ARGV[4])
allow_full()
local moved = admit(most) + promote(most)
local reaped = reap(most)
moved = moved + reaped + unpark(most) + trim(most) + pack(most)
if moved == 0 then moved = mend(most) end
if any_ended and followed() and is_drained() then tell(nil, 'drained') end
ring_for_others()
flush()
return { moved, stalled }
