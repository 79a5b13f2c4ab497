package family

import "time"

// quectel2G is the GSM modules M26, M35, M95 and their kin, on a serial line.
var _ = variant(func(f *Family) {
	f.Name = "quectel-2g"
	f.Of = []string{"quectel"}
	f.Models = []string{"M10", "M26", "M35", "M56", "M66", "M72", "M85", "M95", "MC20", "MC60"}
	f.PINTries = []PINQuery{{`+QPINC="SC"`, labelled("+QPINC", "SC", 1)}, cpinr, csim}
	f.PUKTries = []PINQuery{{`+QPINC="SC"`, labelled("+QPINC", "SC", 2)}, cpinrPUK, csimPUK}
	f.ICCID = []string{"+QCCID", "+CCID", "+CRSM=176,12258,0,0,10"}
	f.CNMI = ladder([]int{2, 1}, []int{1}, 0)
	f.CMS = quectelCodes()
	f.ZoneUpdate = 3 // with 1 the clock says UTC, and the zone beside it
	f.Pace, f.AfterPrompt = 50*time.Millisecond, 20*time.Millisecond
})
