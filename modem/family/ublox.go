package family

import "time"

// ublox is SARA, LISA, LARA and TOBY.
var ublox = variant(func(f *Family) {
	f.Name = "u-blox"
	f.Makers = []string{"u-blox"}
	f.Models = []string{"SARA-", "LISA-", "LARA-", "TOBY-", "MPCI-"}
	f.Ports = ports(0x1546, 0x1010, map[int]string{2: RoleIgnore, 4: RoleDiag, 6: RoleAT, 8: RoleIgnore})
	for _, pid := range []uint16{0x1102, 0x1107, 0x110a} {
		f.Ports = append(f.Ports, ports(0x1546, pid, map[int]string{
			0: RoleAT, 2: RoleAT, 4: RoleAT, 6: RoleGPS, 8: RoleIgnore, 10: RoleDiag, 12: RoleIgnore,
		})...)
	}
	for _, pid := range []uint16{0x1141, 0x1143, 0x1146} {
		f.Ports = append(f.Ports, ports(0x1546, pid, map[int]string{0: RoleAT, 2: RoleAT})...)
	}
	f.asks(counters{"+UPINCNT", "+UPINCNT", 0, 2}) // PIN, PIN2, PUK, PUK2
	f.ICCID = []string{"+CCID", "+CRSM=176,12258,0,0,10"}
	// ds 1 is taken with AT+CSMS=1 only.
	f.CNMI = ladder([]int{2, 1}, []int{2}, 0)
	f.Acked = []CNMI{{2, 1, 0, 1, 0}, {1, 1, 0, 1, 0}}
	f.Reset = "+CFUN=16"
})

// TOBY-L2 and TOBY-L4: the port is there long before the modem, which says
// +READY.
var _ = variant(func(f *Family) {
	*f = *ublox
	f.Name = "u-blox-toby"
	f.Makers, f.Of, f.Ports = nil, []string{"u-blox"}, nil
	f.Models = []string{"TOBY-L2", "TOBY-L4", "MPCI-L2"}
	f.Quiet = 20 * time.Second
})

// ubloxIoT is SARA-R4, SARA-R5 and SARA-N: NB-IoT and LTE-M.
var _ = variant(func(f *Family) {
	*f = *ublox
	f.Name = "u-blox-iot"
	f.Makers, f.Of, f.Ports = nil, []string{"u-blox"}, nil
	f.Models = []string{"SARA-R4", "SARA-R5", "SARA-N2", "SARA-N3", "SARA-N4"}
	f.ResultTimeout = 420 * time.Second
})
