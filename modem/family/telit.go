package family

// telit is GE865, UE910, HE910, LE910 and their kin.
var _ = variant(func(f *Family) {
	f.Name = "telit"
	f.Makers = []string{"telit"}
	f.Models = []string{"GE864", "GE865", "GE910", "GL865", "HE910", "LE866", "LE910", "ME910", "UE910", "UL865"}
	for _, p := range []struct {
		pid uint16
		at  int
	}{{0x1003, 0}, {0x1004, 0}, {0x1031, 1}, {0x1033, 1}, {0x1040, 4}, {0x1041, 5}} {
		f.Ports = append(f.Ports, ports(0x1bc7, p.pid, map[int]string{p.at: RoleAT})...)
	}
	// #PCT counts for whatever is asked for at the moment, so it comes last.
	f.PINTries = []PINQuery{csim, cpinr, {"#PCT", field("#PCT", 0)}}
	f.PUKTries = []PINQuery{csimPUK, cpinrPUK, {"#PCT", field("#PCT", 0)}}
	f.ICCID = []string{"#CCID", "+CCID", "+CRSM=176,12258,0,0,10"}
	f.CNMI = ladder([]int{2, 1}, []int{1, 2}, 0)
})
