package family

import "time"

// quectel is the LTE modules EC2x, EG2x, EP06 and their kin.
var quectel = variant(func(f *Family) {
	f.Name = "quectel"
	f.Makers = []string{"quectel"}
	f.Models = []string{"EC20", "EC21", "EC25", "EG06", "EG12", "EG18", "EG21", "EG25", "EG91", "EG95", "EM06", "EM12", "EP06", "UC15", "UC20"}
	f.Ports = append(ports(0x2c7c, 0, map[int]string{0: RoleDiag, 1: RoleGPS, 2: RoleAT, 3: RolePPP}),
		ports(0x2c7c, 0x0128, map[int]string{5: RoleAT})...)
	f.Init = []string{`+QURCCFG="urcport","usbat"`} // what it says by itself goes to our port
	f.PINTries = []PINQuery{{`+QPINC="SC"`, labelled("+QPINC", "SC", 1)}, cpinr, csim}
	f.PUKTries = []PINQuery{{`+QPINC="SC"`, labelled("+QPINC", "SC", 2)}, cpinrPUK, csimPUK}
	f.ICCID = []string{"+QCCID", "+ICCID", "+CRSM=176,12258,0,0,10"}
	// Never ds 2: reports are announced in SM and kept in SR, where they are lost.
	f.CNMI = ladder([]int{2, 1}, []int{1}, 0)
	f.CMS = quectelCodes()
	f.ZoneUpdate = 3 // with 1 the clock says UTC, and the zone beside it
	f.Boot = append(f.Boot[:len(f.Boot):len(f.Boot)], "APP RDY")
})

// quectelEC200A lists its ME as empty whatever is in it (firmware A24).
var _ = variant(func(f *Family) {
	*f = *quectel
	f.Name = "quectel-ec200a"
	f.Makers, f.Of, f.Models, f.Ports = nil, []string{"quectel"}, []string{"EC200A"}, nil
	f.Storages = []string{"SM"}
})

// quectelIoT is the modules for NB-IoT and LTE-M: there a submission may take
// seven minutes (TS 24.011 10: CE mode B, NB-S1).
var _ = variant(func(f *Family) {
	*f = *quectel
	f.Name = "quectel-iot"
	f.Makers, f.Of, f.Ports = nil, []string{"quectel"}, nil
	f.Models = []string{"BG77", "BG95", "BG96", "BG600", "BC26", "BC66", "BC660", "BC92", "BC95"}
	f.ResultTimeout = 420 * time.Second
})
