window.gateway = { fields: () => {} };
