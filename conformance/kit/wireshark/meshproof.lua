-- Wireshark dissector of the Meshproof handshake, records and relay (spec/handshake.md, record.md, relay.md).
--
--   wireshark -X lua_script:meshproof.lua evidence/hs.call.retry/wire.pcap
--   tshark    -X lua_script:meshproof.lua -r wire.pcap -V
--
-- It shows what stands in the clear. Port 4000 is that of the captures that Meshproof writes; another one is set with
-- "Decode As".

local mesh = Proto("meshproof", "Meshproof")

local frame_types = { [1] = "M1", [2] = "M2", [3] = "M3", [4] = "RETRY", [5] = "REFUSE", [6] = "NO_COMMON_SUITE" }
local suites = { [0x0101] = "RSA-OAEP", [0x0201] = "RSA-OAEP, X25519", [0x0301] = "RSA-OAEP, X25519, ML-KEM-768" }
local replies = { [1] = "JOINED", [2] = "WAITING", [3] = "PONG", [4] = "REFUSED" }

local f = {
    type = ProtoField.uint8("meshproof.type", "Type", base.DEC, frame_types),
    length = ProtoField.uint24("meshproof.len", "Length"),
    version = ProtoField.uint16("meshproof.version", "Version", base.HEX),
    suite = ProtoField.uint16("meshproof.suite", "Suite", base.HEX, suites),
    nonce = ProtoField.bytes("meshproof.nonce", "Nonce"),
    rdv_token = ProtoField.bytes("meshproof.rdv_token", "rdv_token"),
    cookie = ProtoField.bytes("meshproof.cookie", "Cookie"),
    share = ProtoField.bytes("meshproof.share", "Share"),
    ct = ProtoField.bytes("meshproof.ct", "ct_R"),
    box = ProtoField.bytes("meshproof.box", "Box"),
    mac1 = ProtoField.bytes("meshproof.mac1", "mac1"),
    tag = ProtoField.bytes("meshproof.tag", "Tag"),
    ciphertext = ProtoField.bytes("meshproof.ciphertext", "Ciphertext"),
    reply = ProtoField.uint8("meshproof.relay.reply", "Relay says", base.DEC, replies),
    code = ProtoField.uint8("meshproof.relay.code", "Code"),
    pass = ProtoField.bytes("meshproof.relay.pass", "Pass"),
    circuit = ProtoField.bytes("meshproof.relay.circuit", "Circuit"),
    side = ProtoField.uint8("meshproof.relay.side", "Side"),
}
mesh.fields = f

local stream_number = Field.new("tcp.stream")

-- What is known of each connection: at which packet and offset a direction goes over to the next stage. Wireshark
-- visits packets again in any order, so it is places that are kept, and not a state.
local known = {}

function mesh.init()
    known = {}
end

local function conversation()
    local number = stream_number().value
    known[number] = known[number] or { stages = {} }
    return known[number]
end

-- "relay" until the relay is done, then "handshake", then "records".
local function stage(conv, direction, pinfo, offset)
    local found = "handshake"
    for _, mark in ipairs(conv.stages) do
        local after = mark.number < pinfo.number or (mark.number == pinfo.number and mark.offset <= offset)
        if mark.direction == direction and after then
            found = mark.stage
        end
    end
    return found
end

local function enter(conv, direction, pinfo, offset, name)
    for _, mark in ipairs(conv.stages) do
        if mark.direction == direction and mark.stage == name then
            return
        end
    end
    table.insert(conv.stages, { direction = direction, number = pinfo.number, offset = offset, stage = name })
end

-- Takes fields one after the other.
local function reader(tvb, tree)
    local self = { at = 0 }
    function self.add(field, size)
        local range = tvb(self.at, size)
        if size > 0 then
            tree:add(field, range)
        end
        self.at = self.at + size
        return range
    end
    function self.number(size)
        local value = tvb(self.at, size):uint()
        self.at = self.at + size
        return value
    end
    return self
end

local function m1(body, tree)
    local take = reader(body, tree)
    take.add(f.version, 2)
    for _ = 1, take.number(1) do
        take.add(f.suite, 2)
    end
    take.add(f.nonce, 32)
    take.add(f.rdv_token, 16)
    take.add(f.cookie, take.number(1))
    take.add(f.share, take.number(2))
    take.add(f.ct, take.number(2))
    take.add(f.box, take.number(3))
    take.add(f.mac1, 16)
end

local function m2(body, tree)
    local take = reader(body, tree)
    take.add(f.suite, 2)
    take.add(f.nonce, 32)
    take.add(f.share, take.number(2))
    take.add(f.box, take.number(3))
    take.add(f.tag, 32)
end

local bodies = {
    [1] = m1,
    [2] = m2,
    [3] = function(body, tree) tree:add(f.tag, body()) end,
    [4] = function(body, tree) tree:add(f.cookie, body()) end,
    [5] = function(body, tree) tree:add(f.box, body()) end,
}

-- Each of these returns the length of the unit at the begin of `rest`, or nil and how many bytes are missing, and a
-- function that shows it.
local function handshake_frame(rest, pinfo)
    if rest:len() < 4 then
        return nil, 4 - rest:len()
    end
    local kind, length = rest(0, 1):uint(), 4 + rest(1, 3):uint()
    if rest:len() < length then
        return nil, length - rest:len()
    end
    return length, function(tree)
        local name = frame_types[kind] or "unknown frame"
        pinfo.cols.info:append(" " .. name)
        local sub = tree:add(mesh, rest(0, length), "Handshake: " .. name)
        sub:add(f.type, rest(0, 1))
        sub:add(f.length, rest(1, 3))
        if bodies[kind] and length > 4 then
            -- What does not parse is shown as far as it does.
            pcall(bodies[kind], rest(4, length - 4):tvb(), sub)
        end
    end, kind
end

local function record(rest, pinfo)
    if rest:len() < 3 then
        return nil, 3 - rest:len()
    end
    local length = 3 + rest(0, 3):uint() + 32
    if rest:len() < length then
        return nil, length - rest:len()
    end
    return length, function(tree)
        pinfo.cols.info:append(" record")
        local sub = tree:add(mesh, rest(0, length), "Record of " .. (length - 35) .. " bytes")
        sub:add(f.length, rest(0, 3))
        sub:add(f.ciphertext, rest(3, length - 35))
        sub:add(f.tag, rest(length - 32, 32))
    end
end

local function to_relay(rest, pinfo)
    if rest:len() < 3 then
        return nil, 3 - rest:len()
    end
    local join = rest(2, 1):uint() == 1
    local length = join and 76 or 11
    if rest:len() < length then
        return nil, length - rest:len()
    end
    return length, function(tree)
        pinfo.cols.info:append(join and " JOIN" or " PING")
        local sub = tree:add(mesh, rest(0, length), "Relay: " .. (join and "JOIN" or "PING"))
        sub:add(f.version, rest(0, 2))
        if join then
            local pass = sub:add(f.pass, rest(3, 73))
            pass:add(f.circuit, rest(3, 16))
            pass:add(f.side, rest(19, 1))
        else
            sub:add(f.nonce, rest(3, 8))
        end
    end, join
end

local function from_relay(rest, pinfo)
    local kind = rest(0, 1):uint()
    local length = (kind == 3 and 9) or (kind == 4 and 2) or 1
    if rest:len() < length then
        return nil, length - rest:len()
    end
    return length, function(tree)
        local name = replies[kind] or "unknown word"
        pinfo.cols.info:append(" " .. name)
        local sub = tree:add(mesh, rest(0, length), "Relay: " .. name)
        sub:add(f.reply, rest(0, 1))
        if kind == 4 then
            sub:add(f.code, rest(1, 1))
        end
    end, kind == 1
end

function mesh.dissector(tvb, pinfo, tree)
    local conv = conversation()
    local direction = tostring(pinfo.src) .. ":" .. pinfo.src_port
    local opposite = tostring(pinfo.dst) .. ":" .. pinfo.dst_port
    pinfo.cols.protocol = "Meshproof"
    pinfo.cols.info = ""
    local offset = 0
    while offset < tvb:len() do
        local rest = tvb(offset):tvb()
        local now = stage(conv, direction, pinfo, offset)
        -- A version where a type should be: this is for a relay.
        if now == "handshake" and not conv.begun and rest(0, 1):uint() == 0 then
            enter(conv, direction, pinfo, offset, "to relay")
            enter(conv, opposite, pinfo, -1, "from relay")
            now = "to relay"
        end
        conv.begun = true
        local length, show, what
        if now == "to relay" then
            length, show, what = to_relay(rest, pinfo)
        elseif now == "from relay" then
            length, show, what = from_relay(rest, pinfo)
        elseif now == "records" then
            length, show = record(rest, pinfo)
        else
            length, show, what = handshake_frame(rest, pinfo)
        end
        if not length then
            pinfo.desegment_offset = offset
            pinfo.desegment_len = show
            return
        end
        show(tree)
        offset = offset + length
        if (now == "to relay" or now == "from relay") and what then
            enter(conv, direction, pinfo, offset, "handshake after the relay")
        elseif now:find("handshake") and (what == 2 or what == 3) then
            enter(conv, direction, pinfo, offset, "records")
        end
    end
end

DissectorTable.get("tcp.port"):add(4000, mesh)
