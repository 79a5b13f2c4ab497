package family

// sierra is MC73xx, MC74xx, EM74xx, HL78xx. Their +CMS ERROR 350 says anything
// and nothing: the tables call it unknown.
var _ = variant(func(f *Family) {
	f.Name = "sierra"
	f.Makers = []string{"sierra wireless"}
	f.Models = []string{"MC7304", "MC7305", "MC7354", "MC7430", "MC7455", "EM7305", "EM7430", "EM7455", "EM7565", "HL76", "HL78", "HL85"}
	for _, pid := range []uint16{0x68c0, 0x9071, 0x9079, 0x9091} {
		f.Ports = append(f.Ports, ports(0x1199, pid, map[int]string{0: RoleDiag, 2: RoleGPS, 3: RoleAT})...)
	}
	f.Ports = append(f.Ports, ports(0x1199, 0xc001, map[int]string{0: RoleAT})...)
	f.asks(counters{"+CPINC?", "+CPINC", 0, 2}) // PIN, PIN2, PUK, PUK2
	f.ICCID = []string{"!ICCID?", "+CCID", "+ICCID", "+CRSM=176,12258,0,0,10"}
	f.Reset = "!RESET"
})
