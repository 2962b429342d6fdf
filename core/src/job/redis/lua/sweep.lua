-- Brings the queue up to date, in steps. ARGV[4]: how many of each sort at most. Gives how
-- many were moved, and how many of them stalled.
local most = tonumber(ARGV[4])
local moved = admit(most) + promote(most) + reap(most) + trim(most) + pack(most)
if moved > 0 and followed() and is_drained() then tell(nil, 'drained') end
ring_for_others()
flush()
return { moved, stalled }
