package family

import "time"

// huawei is the USB sticks E1xx, E17x, E3131, E3372s, K3765 with the firmware
// that has serial ports; HiLink firmware has none.
var huawei = variant(func(f *Family) {
	f.Name = "huawei"
	f.Makers = []string{"huawei"}
	f.Models = []string{"E1550", "E1552", "E1750", "E173", "E303", "E3131", "E3272", "E3372", "E353", "K3765", "K3772", "ME909", "MU609"}
	// Signal and mode reports on a port that nobody reads fill its buffer and
	// crash the stick: every port is told to be silent, the one in use by Init.
	const silent = "^CURC=0"
	f.Ports = []PortRule{
		{VID: 0x12d1, Interface: AnyInterface, Protocol: 0x02, Role: RoleAT, Hush: silent}, // "PCUI"
		{VID: 0x12d1, Interface: AnyInterface, Protocol: 0x12, Role: RoleAT, Hush: silent},
		{VID: 0x12d1, Interface: AnyInterface, Protocol: 0x01, Role: RolePPP, Hush: silent},
		{VID: 0x12d1, Interface: AnyInterface, Protocol: 0x10, Role: RolePPP, Hush: silent},
		{VID: 0x12d1, Interface: AnyInterface, Protocol: 0x05, Role: RoleGPS},
		{VID: 0x12d1, Interface: AnyInterface, Protocol: 0x14, Role: RoleGPS},
		{VID: 0x12d1, Interface: AnyInterface, Hush: silent},
	}
	f.Init = []string{silent}
	f.Unannounced = true // some take it to mean +CMTI too
	// Talked to earlier, "the firmware may reboot itself".
	f.AfterPIN = 3 * time.Second
	// ^CPIN: SIM PIN,,10,3,10,3: what is wanted, its tries (may be missing), those
	// of PUK, PIN, PUK2, PIN2.
	f.asks(counters{"^CPIN?", "^CPIN", 3, 2})
	f.ICCID = []string{"^ICCID?", "+ICCID", "+CRSM=176,12258,0,0,10"}
	f.CNMI = ladder([]int{1, 2}, []int{1, 2}, 0) // mode 2 is refused by most
	f.Ack = "+CNMA=0"                            // the form with a PDU is broken
	f.USSD = []USSDCoding{USSDPacked, USSDText, USSDUCS2}
	f.USSDPlain = "^USSDMODE=0" // of the E1752 and its like
	f.Reset = "^RESET"
})

// huaweiMU736 is a module that knows no AT^RESET.
var _ = variant(func(f *Family) {
	*f = *huawei
	f.Name = "huawei-mu736"
	f.Makers, f.Of, f.Models = nil, []string{"huawei"}, []string{"MU736"}
	f.Ports = nil // those of huawei
	f.Reset = "+CFUN=16"
})
