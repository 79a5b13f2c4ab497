package emulator

import "time"

// families are drawn from the manuals and drivers that modems.md names.
func families() []Family {
	ccid := map[string]string{"+CCID": "+CCID: %s"}
	generic := Family{
		Name: "generic", Manufacturer: "Recado", Model: "Emulated modem", Firmware: "1.0", USB: true,
		Memories: []string{"SM", "ME", "MT", "SR"}, SM: 30, ME: 100, SR: 30, FirstIndex: 1,
		CNMI: [5][]int{seq(0, 3), seq(0, 3), {0, 2}, seq(0, 2), seq(0, 1)},
		CSMS: []int{0, 1}, CMEE: []int{0, 1, 2}, CDS: "+CDS: %d", CMGLText: true,
		ICCID: map[string]string{"+CCID": "+CCID: %s", "+ICCID": "+ICCID: %s"}, Retries: map[string]string{"+CPINR": "+CPINR: SIM PIN,%d,3"},
	}
	huawei := generic
	huawei.Name, huawei.Manufacturer, huawei.Model, huawei.Firmware = "huawei", "huawei", "E3372", "21.180.01.00.00"
	huawei.FirstIndex, huawei.Memories, huawei.CNMI[0] = 0, []string{"SM", "ME", "SR"}, []int{0, 1}
	huawei.ICCID = map[string]string{"^ICCID": "^ICCID: %s"}
	huawei.Retries = map[string]string{"^CPIN": "^CPIN: READY,,10,%d,10,3"}
	huawei.Boot = []Chatter{{0, "^BOOT:23594356,0,0,0,72"}, {500 * time.Millisecond, "^SRVST:2"}, {time.Second, "^SIMST:1"}, {time.Second, "^MODE:5,4"}}
	huawei.Chatter = []Chatter{{10 * time.Second, "^RSSI:18"}, {25 * time.Second, "^MODE:5,4"}, {30 * time.Second, "^BOOT:23594356,0,0,0,72"}}
	huawei.USSD = USSD{Packed: true}
	huawei.Reset, huawei.PINPause, huawei.Late = []string{"^RESET"}, 3*time.Second, 300*time.Millisecond
	huawei.Ready = []Chatter{{100 * time.Millisecond, "^SIMST:1"}}
	huawei.Quiet, huawei.SIMBusy, huawei.Full = []string{"^CURC=0"}, time.Second, `^SMMEMFULL: "SM"`
	huawei.Extra = map[string]string{"^CURC": "", "^PORTSEL": "", "^USSDMODE": "", "^U2DIAG": "", "^SYSINFO": "^SYSINFO:2,3,0,5,1,,4", "^HCSQ": `^HCSQ:"WCDMA",30,30,58`}

	zte := generic
	zte.Name, zte.Manufacturer, zte.Model, zte.Firmware = "zte", "ZTE CORPORATION", "MF190", "BD_MF190V1.0.0B04"
	zte.CNMI[0], zte.CDS, zte.Memories = []int{0, 1}, "+CDS: ,%d", []string{"SM", "ME", "SR"}
	zte.Retries = map[string]string{"+ZPINPUK": "+ZPINPUK: %d,10"}
	zte.Boot = []Chatter{{time.Second, "+ZUSIMR:2"}}
	zte.Chatter = []Chatter{{2 * time.Second, "+ZUSIMR:2"}, {15 * time.Second, `+ZPASR: "HSPA"`}}
	zte.Crash = 20 * time.Second
	zte.Quiet, zte.SIMBusy = []string{"+CPMS?"}, time.Second
	zte.Extra = map[string]string{"+ZCDRUN": "", "+ZOPRT": "", "+ZPAS": `+ZPAS: "HSPA","CS_PS"`}

	quectel := generic
	quectel.Name, quectel.Manufacturer, quectel.Model, quectel.Firmware = "quectel", "Quectel", "EC25", "EC25EFAR06A06M4G"
	quectel.FirstIndex, quectel.ME, quectel.Memories = 0, 255, []string{"ME", "SM", "MT", "SR"}
	quectel.CDSI = "SM"
	quectel.ICCID = map[string]string{"+QCCID": "+QCCID: %s", "+ICCID": "+ICCID: %s"}
	quectel.Retries = map[string]string{"+QPINC": `+QPINC: "SC",%d,10`}
	quectel.Boot, quectel.SIMBusy = []Chatter{{0, "RDY"}}, time.Second
	quectel.Ready = []Chatter{{0, "+CPIN: READY"}, {100 * time.Millisecond, "+QUSIM: 1"}, {time.Second, "+QIND: SMS DONE"}, {1500 * time.Millisecond, "+QIND: PB DONE"}}
	quectel.USSD = USSD{Echo: true}
	quectel.Full = `+QIND: "smsfull","ME"`
	quectel.Extra = map[string]string{"+QURCCFG": "", "+QCFG": "", "+QNWINFO": `+QNWINFO: "FDD LTE","21407","LTE BAND 3",1501`, "+QINDCFG": ""}

	sim800 := generic
	sim800.Name, sim800.Manufacturer, sim800.Model, sim800.Firmware = "simcom800", "SIMCOM_Ltd", "SIMCOM_SIM800L", "1418B05SIM800L24"
	sim800.USB, sim800.SM, sim800.Memories = false, 25, []string{"SM", "ME", "MT"}
	sim800.CNMI = [5][]int{seq(0, 3), seq(0, 3), {0, 2}, {0, 1}, {0, 1}}
	sim800.ICCID = map[string]string{"+CCID": "%s"}
	sim800.Retries = map[string]string{"+SPIC": "+SPIC: %d,10,3,10"}
	sim800.Boot = []Chatter{{0, "RDY"}, {100 * time.Millisecond, "+CFUN: 1"}}
	sim800.Ready = []Chatter{{0, "+CPIN: READY"}, {500 * time.Millisecond, "Call Ready"}, {time.Second, "SMS Ready"}}
	sim800.USSD = USSD{Form: `+CUSD: {m}, "{text}", {dcs}`, DCS: 64}
	sim800.SIMBusy, sim800.Full = 500*time.Millisecond, "+SMS FULL"
	sim800.Extra = map[string]string{"+CMGHEX": "", "+CSCLK": "", "+CLTS": ""}

	sim7600 := generic
	sim7600.Name, sim7600.Manufacturer, sim7600.Model, sim7600.Firmware = "simcom7600", "SIMCOM INCORPORATED", "SIMCOM_SIM7600E-H", "LE11B12SIM7600M22"
	sim7600.FirstIndex, sim7600.Memories, sim7600.SubmitReport = 0, []string{"SM", "ME", "SR"}, true
	sim7600.ICCID = map[string]string{"+CICCID": "+ICCID: %s", "+CCID": "+CCID: %s"}
	sim7600.Retries = map[string]string{"+SPIC": "+SPIC: %d,10,3,10"}
	sim7600.Boot = []Chatter{{0, "RDY"}}
	sim7600.Ready = []Chatter{{0, "+CPIN: READY"}, {time.Second, "SMS DONE"}, {2 * time.Second, "PB DONE"}}
	sim7600.SIMBusy, sim7600.Full = 500*time.Millisecond, "+SMS FULL"
	sim7600.Chatter = []Chatter{{20 * time.Second, "+CNSMOD: 8"}}
	sim7600.Extra = map[string]string{"+CNSMOD": "+CNSMOD: 0,8", "+CPSI": "+CPSI: LTE,Online,214-07,0x1A2B,27447553,257,EUTRAN-BAND3,1501,5,5,-94,-850,-545,15"}

	telit := generic
	telit.Name, telit.Manufacturer, telit.Model, telit.Firmware = "telit", "Telit", "GE865-QUAD", "10.00.006"
	telit.USB, telit.CNMI[0], telit.Memories, telit.SM, telit.SR = false, seq(0, 2), []string{"SM", "ME", "SR"}, 20, 10
	telit.ICCID = map[string]string{"#CCID": "#CCID: %s"}
	telit.Retries = map[string]string{"#PCT": "#PCT: %d"}
	telit.Boot, telit.SIMBusy = []Chatter{{500 * time.Millisecond, "#QSS: 1"}}, time.Second
	telit.Ready = []Chatter{{0, "#QSS: 2"}, {time.Second, "#QSS: 3"}}
	telit.Chatter = []Chatter{{30 * time.Second, "#STN: 254"}}
	telit.USSD = USSD{Form: `+CUSD: {m},"{text}"`}
	telit.Extra = map[string]string{"#QSS": "#QSS: 2,3", "#PORTCFG": "", "#STIA": "", "#BND": ""}

	ublox := generic
	ublox.Name, ublox.Manufacturer, ublox.Model, ublox.Firmware = "ublox", "u-blox", "SARA-U201", "23.60"
	ublox.Memories, ublox.SubmitReport, ublox.DirectNeedsService = []string{"SM", "ME", "SR"}, true, true
	ublox.CNMI = [5][]int{seq(0, 2), seq(0, 3), {0, 2}, seq(0, 2), seq(0, 1)}
	ublox.ICCID, ublox.Retries = ccid, map[string]string{"+UPINCNT": "+UPINCNT: %d,3,10,10"}
	ublox.Boot, ublox.SIMBusy = []Chatter{{0, "+READY"}}, 500*time.Millisecond
	ublox.Extra = map[string]string{"+UPSV": "", "+UMWI": ""}

	wavecom := generic
	wavecom.Name, wavecom.Manufacturer, wavecom.Model, wavecom.Firmware = "wavecom", "WAVECOM MODEM", "MULTIBAND  900E  1800", "641b09gg.Q2403A 1320676 061804 14:38"
	wavecom.USB, wavecom.Memories, wavecom.CMEE, wavecom.CPMSOne = false, []string{"SM", "SR"}, []int{0, 1}, true
	wavecom.CPMSTest, wavecom.CMGLText = `(("SM","BM","SR"),("SM"))`, false
	wavecom.ICCID, wavecom.Retries = map[string]string{"+CCID": `+CCID: "%s"`}, nil
	wavecom.Ready, wavecom.SIMBusy = []Chatter{{0, "+WIND: 1"}, {500 * time.Millisecond, "+WIND: 7"}, {time.Second, "+WIND: 4"}}, 2*time.Second
	wavecom.BareCPIN, wavecom.USSD = true, USSD{First: true}
	wavecom.Quiet = []string{"+WIND=0"}
	wavecom.Extra = map[string]string{"+WIND": "", "+WOPEN": ""}

	siemens := generic
	siemens.Name, siemens.Manufacturer, siemens.Model, siemens.Firmware = "siemens", "SIEMENS", "MC35i", "REVISION 02.00"
	siemens.USB, siemens.Memories = false, []string{"SM", "ME", "MT"}
	siemens.CNMI = [5][]int{seq(0, 3), seq(0, 3), {0, 2, 3}, seq(0, 2), {1}}
	siemens.ICCID = map[string]string{"^SCID": "^SCID: %s"}
	siemens.Retries = map[string]string{"^SPIC": "^SPIC: %d"}
	siemens.Boot, siemens.SIMBusy = []Chatter{{0, "^SYSSTART"}}, 2*time.Second
	siemens.USSD = USSD{Echo: true}
	siemens.Extra = map[string]string{"^SCFG": "", "^SSTN": "", "^SMGO": "^SMGO: 0,0"}

	return append([]Family{generic, huawei, zte, quectel, sim800, sim7600, telit, ublox, wavecom, siemens},
		variants(quectel, sim7600, ublox, siemens, generic)...)
}
