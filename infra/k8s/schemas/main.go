// Command schemas reads Kubernetes objects as YAML from stdin and says which fields the types of the versions in go.mod
// do not know, or know as another type. Those types do not say which fields must be there, nor which values they may have.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	externalsecrets "github.com/external-secrets/external-secrets/apis/externalsecrets/v1"
	keda "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	milvus "github.com/zilliztech/milvus-operator/apis/milvus.io/v1beta1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/util/yaml"
	kubernetes "k8s.io/client-go/kubernetes/scheme"
	kyaml "sigs.k8s.io/yaml"
)

// untyped are the API groups whose operators publish no Go types. A kind of any other group that no module knows is an
// error, so that nothing new goes unchecked in silence.
var untyped = []string{"kafka.strimzi.io"}

type report struct {
	checked   map[schema.GroupVersionKind]int
	unchecked map[schema.GroupVersionKind]int
	faults    []string
}

func main() {
	types, err := knownTypes()
	if err != nil {
		fail(err)
	}
	found, err := check(os.Stdin, types)
	if err != nil {
		fail(err)
	}
	for _, line := range counts("checked", found.checked) {
		fmt.Println(line)
	}
	for _, line := range counts("NOT CHECKED, no Go types:", found.unchecked) {
		fmt.Println(line)
	}
	for _, fault := range found.faults {
		fmt.Fprintln(os.Stderr, fault)
	}
	if len(found.faults) > 0 {
		os.Exit(1)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(2)
}

func knownTypes() (*runtime.Scheme, error) {
	types := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		kubernetes.AddToScheme,
		certmanager.AddToScheme,
		externalsecrets.AddToScheme,
		keda.AddToScheme,
		monitoring.AddToScheme,
		milvus.AddToScheme,
	} {
		if err := add(types); err != nil {
			return nil, err
		}
	}
	return types, nil
}

func check(from io.Reader, types *runtime.Scheme) (*report, error) {
	strict := json.NewSerializerWithOptions(
		json.DefaultMetaFactory, types, types, json.SerializerOptions{Yaml: true, Strict: true})
	found := &report{checked: map[schema.GroupVersionKind]int{}, unchecked: map[schema.GroupVersionKind]int{}}
	documents := yaml.NewYAMLReader(bufio.NewReader(from))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return nil, err
		}
		if err := found.decode(document, strict); err != nil {
			return nil, err
		}
	}
}

func (found *report) decode(document []byte, strict runtime.Decoder) error {
	var head struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Metadata   struct {
			Name string `json:"name"`
		} `json:"metadata"`
	}
	if err := kyaml.Unmarshal(document, &head); err != nil {
		return err
	}
	kind := schema.FromAPIVersionAndKind(head.APIVersion, head.Kind)
	if slices.Contains(untyped, kind.Group) {
		found.unchecked[kind]++
		return nil
	}
	if _, _, err := strict.Decode(document, nil, nil); err != nil {
		found.faults = append(found.faults, fmt.Sprintf("%s %s: %v", head.Kind, head.Metadata.Name, err))
		return nil
	}
	found.checked[kind]++
	return nil
}

func counts(label string, kinds map[schema.GroupVersionKind]int) []string {
	var lines []string
	for kind, number := range kinds {
		lines = append(lines, fmt.Sprintf("%s %s %s: %d", label, kind.GroupVersion(), kind.Kind, number))
	}
	slices.Sort(lines)
	return lines
}
