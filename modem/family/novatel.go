package family

// novatel is the Merlin, Ovation and Expedite cards.
var _ = variant(func(f *Family) {
	f.Name = "novatel"
	f.Makers = []string{"novatel"}
	f.Models = []string{"MC679", "MC950D", "MC990D", "MC998D", "E371", "Expedite", "Ovation", "Merlin"}
	f.Ports = []PortRule{{VID: 0x1410, Interface: AnyInterface, Role: RoleAT}}
	f.PINTries = []PINQuery{{"$NWPINR?", labelled("$NWPINR", "PIN1", 1)}, cpinr, csim}
	f.ICCID = []string{"+ICCID", "+CCID", "+CRSM=176,12258,0,0,10"}
	// With ds 1 it wants an acknowledgement, which it then refuses, and delivers
	// nothing from there on.
	f.CNMI = ladder([]int{1, 2}, []int{2}, 0)
})
