package workload

import (
	"encoding/json"
	"io/fs"
	"path"
	"strings"
)

// What is read of an engine's files at most: one container's, and the index of
// all. A longer file is no valid JSON once it is cut, and tells nothing.
const (
	maxConfig = 4 << 20
	maxIndex  = 16 << 20
)

// dockerConfig looks into /var/lib/docker/containers/<id>/config.v2.json.
func dockerConfig(host fs.FS, id string) (label, bool) {
	var config struct {
		Name   string
		Config struct {
			Labels map[string]string
		}
	}
	if !readJSON(host, path.Join("var/lib/docker/containers", id, "config.v2.json"), maxConfig, &config) {
		return label{}, false
	}
	labels := config.Config.Labels
	found := nameLabel(strings.TrimPrefix(config.Name, "/"))
	for key, to := range map[string]*string{
		"io.kubernetes.container.name": &found.container,
		"io.kubernetes.pod.name":       &found.pod,
		"io.kubernetes.pod.namespace":  &found.namespace,
		"io.kubernetes.pod.uid":        &found.podUID,
	} {
		if value := labels[key]; value != "" {
			*to = value
		}
	}
	return found, found != label{}
}

// storageIndex looks into the indexes of containers/storage, which Podman (as
// root) and CRI-O share; containers that do not survive a boot have their own.
func storageIndex(host fs.FS, id string) (label, bool) {
	for _, file := range [...]string{"containers.json", "volatile-containers.json"} {
		var index []struct {
			ID    string   `json:"id"`
			Names []string `json:"names"`
		}
		name := path.Join("var/lib/containers/storage/overlay-containers", file)
		if !readJSON(host, name, maxIndex, &index) {
			continue
		}
		for _, c := range index {
			if c.ID == id && len(c.Names) > 0 {
				return nameLabel(c.Names[0]), true
			}
		}
	}
	return label{}, false
}

// nameLabel reads an engine's name of a container. The kubelet's containers
// are called k8s_<container>_<pod>_<namespace>_<pod UID>_<attempt>.
func nameLabel(name string) label {
	parts := strings.Split(name, "_")
	if len(parts) != 6 || parts[0] != "k8s" || !isUID(parts[4]) {
		return label{container: name}
	}
	return label{container: parts[1], pod: parts[2], namespace: parts[3], podUID: parts[4]}
}

// readJSON reports whether the file is there and is what v expects.
func readJSON(fsys fs.FS, name string, limit int64, v any) bool {
	text, err := readFile(fsys, name, limit)
	return err == nil && json.Unmarshal(text, v) == nil
}
