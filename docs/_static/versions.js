// The versions of this site that stand beside each other. Empty where it is built; what deploys it fills it in.
globalThis.gdexplainVersions = [];
