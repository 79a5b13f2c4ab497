package family

import "time"

// simcom is SIM7500, SIM7600 and A76xx. Some of the latter give INCORPORATED
// as their maker.
var simcom = variant(func(f *Family) {
	f.Name = "simcom"
	f.Makers = []string{"simcom"}
	f.Models = []string{"SIM71", "SIM75", "SIM76", "SIM78", "SIM82", "A7600", "A7608", "A7670", "A7672", "A7678", "A7682", "A7683"}
	f.Ports = append(ports(0x1e0e, 0x9001, map[int]string{0: RoleDiag, 1: RoleGPS, 2: RoleAT, 3: RolePPP}),
		ports(0x1e0e, 0x9011, map[int]string{4: RoleAT, 5: RolePPP})...)
	f.asks(counters{"+SPIC", "+SPIC", 0, 1}) // PIN, PUK, PIN2, PUK2
	f.ICCID = []string{"+CICCID", "+CCID", "+CRSM=176,12258,0,0,10"}
	f.CNMI = ladder([]int{2, 1}, []int{1, 2}, 0)
})

// simcomIoT is SIM7000, SIM7020, SIM7070, SIM7080: NB-IoT and LTE-M, where a
// submission may take seven minutes. Messages may be announced as +CMTI: ,-1.
var _ = variant(func(f *Family) {
	*f = *simcom
	f.Name = "simcom-iot"
	f.Makers, f.Of, f.Ports = nil, []string{"simcom"}, nil
	f.Models = []string{"SIM7000", "SIM7020", "SIM7022", "SIM7060", "SIM7070", "SIM7080", "SIM7090"}
	f.ResultTimeout = 420 * time.Second
})
