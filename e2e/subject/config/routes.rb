Rails.application.routes.draw do
  get "up" => "rails/health#show", as: :rails_health_check

  resources :entries, only: [ :index, :create ]

  unless Rails.application.config.api_only
    resources :notes, only: [ :index, :create ]
    root "notes#index"
  end
end
