package family

import "time"

// siemens is MC35, TC35, MC55, MC75 of Siemens and BGS, EHS of Cinterion.
var _ = variant(func(f *Family) {
	f.Name = "siemens"
	f.Makers = []string{"siemens", "cinterion", "gemalto", "thales"}
	f.Models = []string{"MC35", "MC39", "MC45", "MC52", "MC55", "MC75", "TC35", "TC63", "TC65", "BGS2", "BGS5", "EHS5", "EHS6", "EHS8", "PHS8", "PLS8"}
	f.Ports = []PortRule{{VID: 0x1e2d, Interface: AnyInterface, Role: RoleAT}}
	f.Init = []string{`^SCFG="URC/DstIfc","app"`} // what it says by itself goes to our port
	// The bare one counts for what is asked for at the moment.
	f.PINTries = []PINQuery{{`^SPIC="SC"`, field("^SPIC", 0)}, {"^SPIC", field("^SPIC", 0)}, cpinr, csim}
	f.PUKTries = []PINQuery{{`^SPIC="SC",1`, field("^SPIC", 0)}, {"^SPIC", field("^SPIC", 0)}, cpinrPUK, csimPUK}
	f.ICCID = []string{"^SCID", "+CCID", "+CRSM=176,12258,0,0,10"}
	// bfr 1 is the only one that the old ones take.
	f.CNMI = ladder([]int{2, 1, 3}, []int{1, 2}, 1, 0)
	f.CMS = siemensCodes()
	f.Pace, f.AfterPrompt = 100*time.Millisecond, 100*time.Millisecond
})
