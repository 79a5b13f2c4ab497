package emulator

import "time"

// variants are models that do worse than their families, and families that are
// little else than one habit.
func variants(quectel, sim7600, ublox, siemens, generic Family) []Family {
	ep06 := quectel
	ep06.Name, ep06.Model, ep06.Firmware, ep06.ListWords = "quectel-ep06", "EP06", "EP06ELAR04A08M4G", true

	ec200a := quectel
	ec200a.Name, ec200a.Model, ec200a.Firmware, ec200a.Blind = "quectel-ec200a", "EC200A", "EC200AEUHAR01A24M16", "ME"

	bg95 := quectel
	bg95.Name, bg95.Model, bg95.Firmware = "quectel-iot", "BG95-M3", "BG95M3LAR02A04"

	m95 := quectel
	m95.Name, m95.Model, m95.Firmware, m95.USB = "quectel-2g", "Quectel_M95", "M95FAR02A08", false
	m95.CNMI = [5][]int{seq(0, 3), seq(0, 3), {0, 2, 3}, seq(0, 2), seq(0, 1)}
	m95.CSMS, m95.Memories, m95.FirstIndex = []int{0, 128}, []string{"SM", "ME", "MT", "SR"}, 1
	m95.Ready = []Chatter{{0, "+CPIN: READY"}, {500 * time.Millisecond, "Call Ready"}}

	sim7000 := sim7600
	sim7000.Name, sim7000.Model, sim7000.Firmware, sim7000.Unplaced = "simcom-iot", "SIMCOM_SIM7000E", "1529B08SIM7000E", true

	toby := ublox
	toby.Name, toby.Model, toby.Firmware, toby.ReadyAfter = "ublox-toby", "TOBY-L4006", "40.40", 5*time.Second

	mc35 := siemens
	mc35.Name, mc35.Memories, mc35.Erased = "siemens-mt", []string{"MT"}, true

	sierra := generic
	sierra.Name, sierra.Manufacturer, sierra.Model, sierra.Firmware = "sierra", "Sierra Wireless, Incorporated", "MC7304", "SWI9X15C_05.05.58.00"
	sierra.ICCID, sierra.Retries = map[string]string{"!ICCID": "!ICCID: %s"}, map[string]string{"+CPINC": "+CPINC: %d,3,10,10"}
	sierra.Reset = []string{"!RESET"}

	novatel := generic
	novatel.Name, novatel.Manufacturer, novatel.Model, novatel.Firmware = "novatel", "Novatel Wireless Incorporated", "MC679", "1.43"
	novatel.CNMI[0], novatel.LastCDS = []int{0, 1}, true
	novatel.Retries = map[string]string{"$NWPINR": "$NWPINR: PIN1, %d"}

	neoway := generic
	neoway.Name, neoway.Manufacturer, neoway.Model, neoway.Firmware = "neoway", "Neoway", "M590E", "NEOWAY_M590E_V1.0"
	neoway.USB, neoway.DiesOff, neoway.Memories = false, true, []string{"SM", "ME"}

	return []Family{ep06, ec200a, bg95, m95, sim7000, toby, mc35, sierra, novatel, neoway}
}
