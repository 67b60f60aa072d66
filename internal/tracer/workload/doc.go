// Package workload says what a process or a control group belongs to: the
// systemd unit, the container, the pod, by the names that their managers left
// in the host's own files. It asks no daemon and needs no API.
//
// Whatever cannot be found out is "". Nothing is derived from a process whose
// start time is not the owner's, or from a group that is not the one the owner
// was in.
package workload
